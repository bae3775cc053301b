"""What a channel is: a name, a form to fill in, which of its fields are secret, and `notify`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from engine.bucket import Limit
from engine.notice import Notice

#: How much of a receiver's answer is kept.
ANSWER_CHARS = 500


class ChannelConfig(BaseModel):
    """Base of the channels' forms. `allow_private` lifts the guard against internal addresses.

    At most `burst` notices are sent at once and `per_minute` on average; those over it are told in one digest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    allow_private: bool = False
    per_minute: float = Field(Limit().per_minute, gt=0, le=6000, allow_inf_nan=False)
    burst: int = Field(Limit().burst, ge=1, le=10_000)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the receiver answered: a status, the first characters of its text, its own id for the message."""

    status: int | None = None
    answer: str = ""
    provider_id: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt: `id` is the notification's and the same for every attempt, `at` is this attempt's time."""

    id: str
    at: datetime
    attempt: int = 1


class Wire(Protocol):
    """What channels send with; `engine.inbox.Wires` joins HTTP and the app's inbox."""

    async def post(self, url: str, *, body: bytes, headers: dict[str, str], allow_private: bool) -> Receipt:
        """POST `body`; raises DeliveryError unless the answer is 2xx."""

    async def show(self, message_id: str, notice: Notice) -> None:
        """Put a message into the in-app inbox; a second time with the same id changes nothing."""


Notify = Callable[[Any, Notice, Delivery, Wire], Awaitable[Receipt]]


@dataclass(frozen=True, slots=True)
class ChannelKind:
    """One kind of channel: `notify(config, notice, delivery, wire)` returns a receipt or raises DeliveryError."""

    name: str
    label: str
    config: type[ChannelConfig]
    notify: Notify
    #: fields of `config` that are encrypted at rest and never shown again
    secrets: frozenset[str] = frozenset()
    #: fills in what the person left out when a channel is made (a generated signing secret)
    complete: Callable[[dict[str, Any]], dict[str, Any]] = dict
    #: takes many incidents in one notice; not where the receiver keeps one thing an incident, opened and closed by id
    bundles: bool = False
