"""What a scenario says of its channels: how much they take, and for which reasons they are told."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, PlainValidator

from engine.bucket import Limit
from engine.channel_store import IN_APP_NAME
from engine.condition import Document
from engine.digest import DIGEST
from engine.errors import Fault
from engine.notify import Reason, listeners
from engine.rule import Rule


class Taking(Document):
    """What a channel takes: `burst` notices at once, `per_minute` on average; all ends, or with others' alone."""

    burst: Annotated[int, Field(strict=True, ge=1, le=10_000)] = Limit().burst
    per_minute: Annotated[float, Field(gt=0, le=6000)] = Limit().per_minute

    partial_ends: bool = True

    @property
    def limit(self) -> Limit:
        """As a bucket has it."""
        return Limit(self.per_minute, self.burst)


def _reason(text: Any) -> str:
    known = [*(reason.value for reason in Reason), DIGEST]
    if text not in known:
        raise ValueError(f"must be one of {', '.join(known)}, not {text!r}")
    return str(text)


#: Why a channel is told, or why not; or `digest`.
ToldReason = Annotated[str, PlainValidator(_reason)]


def channels_of(rule: Rule) -> list[str]:
    """Every channel that the rule may tell, at whatever level."""
    return list(dict.fromkeys(name for one in (rule, *rule.levels.values()) for name in listeners(one)))


def idle_limits(rule: Rule, limits: Mapping[str, Taking]) -> Iterator[Fault]:
    """Limits of channels that are never told, and of the app's inbox, which has no form to set one in."""
    if IN_APP_NAME in limits:
        yield Fault(f"limits.{IN_APP_NAME}", "has no limit of its own to set")
    for name in limits.keys() - {IN_APP_NAME, *channels_of(rule)}:
        yield Fault(f"limits.{name}", "is no channel that the rule tells")
