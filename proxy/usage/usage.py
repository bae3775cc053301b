"""What a provider's answer says about itself, in the ledger's terms, and how a parser of it looks."""

from enum import StrEnum
from typing import Final, Protocol

import msgspec

from data.model import Tokens

_NONE = Tokens()
_COUNTS: Final = Tokens.__struct_fields__


class Billing(StrEnum):
    """How an answer's counts become money."""

    COUNTED = "counted"  # they are what is charged
    PARTLY = "partly"  # some of them, or something beside them, has a price of its own; `note` says what
    FREE = "free"  # nothing is charged, whatever they are; `note` says why
    UNKNOWN = "unknown"  # something is charged that is told nowhere; `note` says what


class Share(msgspec.Struct, frozen=True):
    """What another model than the answer's had in it, at that model's price."""

    model: str
    tokens: Tokens


class Usage(msgspec.Struct, frozen=True):
    """One answer's counts and facts. Text is '' where the provider did not say.

    `complete`: nothing is left to estimate; the provider's final counts were seen, or nothing is billed.
    Where it is False, `note` says what the counts were estimated from, and an input of 0 means unknown.
    """

    tokens: Tokens = _NONE  # of `model` alone; `all_tokens` has those of `others` too
    model: str = ""
    stop_reason: str = ""
    service_tier: str = ""
    inference_geo: str = ""
    speed: str = ""
    response_id: str = ""
    raw: str = ""  # the provider's usage objects, merged, as JSON
    complete: bool = False
    billing: Billing = Billing.COUNTED
    note: str = ""
    error_class: str = ""
    error_message: str = ""  # at most 500 characters
    others: tuple[Share, ...] = ()
    nothing_due: bool = False  # what is told of a batch: that nothing of it is still to be charged

    @property
    def all_tokens(self) -> Tokens:
        """The counts of all models that had a share in the answer."""
        return added(self.tokens, *(share.tokens for share in self.others)) if self.others else self.tokens


class UsageParser(Protocol):
    """Reads an answer's decoded body as it passes. Never raises: garbage makes the result incomplete."""

    @property
    def output_started(self) -> bool:
        """Whether the first content was seen (of a plain body: its first byte)."""
        ...

    def feed(self, data: bytes) -> None:
        """Take more of the body."""
        ...

    def finish(self) -> Usage:
        """Say what was seen; call it once, at the body's end or where it broke off."""
        ...


def added(*counts: Tokens) -> Tokens:
    """The sum of several counts."""
    return Tokens(**{name: sum(getattr(each, name) for each in counts) for name in _COUNTS})
