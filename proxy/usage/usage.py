"""What a provider's answer says about itself, in the ledger's terms, and how a parser of it looks."""

from typing import Protocol

import msgspec

from data.model import Tokens

_NONE = Tokens()


class Usage(msgspec.Struct, frozen=True):
    """One answer's counts and facts. Text is '' where the provider did not say.

    `complete`: nothing is left to estimate; the provider's final counts were seen, or nothing is billed.
    Where it is False, `note` says what the counts were estimated from, and an input of 0 means unknown.
    """

    tokens: Tokens = _NONE
    model: str = ""
    stop_reason: str = ""
    service_tier: str = ""
    inference_geo: str = ""
    speed: str = ""
    response_id: str = ""
    raw: str = ""  # the provider's usage objects, merged, as JSON
    complete: bool = False
    note: str = ""
    error_class: str = ""
    error_message: str = ""  # at most 500 characters


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
