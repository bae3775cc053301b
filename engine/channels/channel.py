"""What a channel is: a name, a form to fill in, which of its fields are secret, and `notify`."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Protocol

from msgspec import structs
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from engine import templates
from engine.bucket import Limit
from engine.channels.values import check_words, values_of
from engine.errors import TemplateFault
from engine.notice import Notice
from engine.templates import Fill

#: How much of a receiver's answer is kept.
ANSWER_CHARS = 500
#: Sends at the same time through one channel, unless its kind says otherwise.
AT_ONCE = 16


class ChannelConfig(BaseModel):
    """Base of the channels' forms. `allow_private` lifts the guard against internal addresses.

    `message` is a template over the notice that stands for the rule's own words in this channel.
    At most `burst` notices are sent at once and `per_minute` on average; those over it are told in one digest.
    Without `partial_ends` the ends of a rule's groups are told together, once all of them are over that were told of.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    allow_private: bool = False
    message: Annotated[str, Field(max_length=4000), AfterValidator(check_words)] = ""
    per_minute: float = Field(Limit().per_minute, gt=0, le=6000, allow_inf_nan=False)
    burst: int = Field(Limit().burst, ge=1, le=10_000)
    partial_ends: bool = True

    def templates(self) -> Iterator[tuple[str, str, Fill]]:
        """Every template in it: the field that it stands in, its text, and how it will be filled in."""
        yield "message", self.message, templates.render

    def idle(self) -> Iterator[tuple[str, str]]:
        """Fields that are filled in and do nothing as the others are, each with why."""
        yield from ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the receiver answered: a status, the first characters of its text, its own id for the message."""

    status: int | None = None
    answer: str = ""
    provider_id: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt: `id` is the notification's and the same for every attempt, `at` is this attempt's time.

    `earlier` is the provider's id of the last message about the same incident, for kinds that change it in place.
    `picture` is a PNG for kinds that show one, and `alt` what it shows.
    """

    id: str
    at: datetime
    attempt: int = 1
    earlier: str = ""
    picture: bytes = b""
    alt: str = ""


class Wire(Protocol):
    """What channels send with; `engine.inbox.Wires` joins HTTP and the app's inbox."""

    async def post(self, url: str, *, body: bytes, headers: dict[str, str], allow_private: bool) -> Receipt:
        """POST `body`; raises DeliveryError unless the answer is 2xx."""

    async def show(self, message_id: str, notice: Notice) -> None:
        """Put a message into the in-app inbox; a second time with the same id changes nothing."""


Notify = Callable[[Any, Notice, Delivery, Wire], Awaitable[Receipt]]


def nobody(fields: Mapping[str, Any]) -> bool:
    """For kinds of channel whose receivers keep nothing of an incident."""
    del fields
    return False


def worded(config: ChannelConfig, notice: Notice) -> Notice:
    """The notice in this channel's own words; where these cannot be made, as it was, flagged."""
    if not config.message:
        return notice
    try:
        return structs.replace(notice, message=templates.render(config.message, values_of(notice)))
    except TemplateFault as fault:
        return structs.replace(notice, flaw=f"the channel's message: {fault}")


@dataclass(frozen=True, slots=True)
class ChannelKind:
    """One kind of channel: `notify(config, notice, delivery, wire)` returns a receipt or raises DeliveryError.

    `preview(config, notice, delivery)` is what would be sent, as JSON.
    """

    name: str
    label: str
    config: type[ChannelConfig]
    notify: Notify
    preview: Callable[[Any, Notice, Delivery], Any]
    #: fields of `config` that are encrypted at rest and never shown again
    secrets: frozenset[str] = frozenset()
    #: fields of `config` that are addresses, whose queries are masked where they are shown
    addresses: frozenset[str] = frozenset()
    #: secrets that are rotated, each with the field that keeps the one before
    rotates: Mapping[str, str] = field(default_factory=dict)
    #: fills in what the person left out when a channel is made (a generated signing secret)
    complete: Callable[[dict[str, Any]], dict[str, Any]] = dict
    #: seconds between two sends that its provider asks for
    pause_s: float = 0.0
    #: how many sends one channel has under way at most
    at_once: int = AT_ONCE
    #: whether it shows a picture of what was measured, where there is one
    shows_pictures: bool = False
    #: whether a channel with these fields (secrets left out) is also told when somebody takes an incident on
    follows: Callable[[Mapping[str, Any]], bool] = nobody
    #: whether its receiver keeps one thing an incident, which is closed by that incident's own end and nothing else
    needs_each_end: Callable[[Mapping[str, Any]], bool] = nobody
