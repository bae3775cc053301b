"""Whether a group keeps beginning to fire, and when it has been steady for long enough. Pure."""

from collections.abc import Sequence
from datetime import datetime

from engine.rule import Rule


def recent(rule: Rule, opens: Sequence[datetime], now: datetime) -> int:
    """How often the group began to fire within the time that the rule looks at; `opens` are when it did."""
    return sum(now - at < rule.flapping.within for at in opens) if rule.flapping else 0


def flaps(rule: Rule, opens: Sequence[datetime], now: datetime) -> bool:
    """Whether that is so often that each end and beginning says nothing any more."""
    return rule.flapping is not None and recent(rule, opens, now) >= rule.flapping.count


def steady_at(rule: Rule, opens: Sequence[datetime], now: datetime) -> datetime | None:
    """When it will have been steady, if it does not begin once more; None where it is now."""
    if rule.flapping is None or not flaps(rule, opens, now):
        return None
    return sorted(opens)[-rule.flapping.count] + rule.flapping.within
