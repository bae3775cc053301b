"""When something that is held back can next be told: between two such looks, looking would change nothing. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.bucket import Bucket
from engine.digest import SWEEP_EVERY
from engine.history import EPOCH
from engine.terms import ALL

#: Sooner than a bucket is full enough by this, so that no rounding is ever too late.
_ROUNDING = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One held back notice: `over_at` is when its incident ends, None: not as far as is known."""

    channel: str
    group_key: str
    limited: bool
    due_at: datetime
    over_at: datetime | None


def next_sweep(waiting: Iterable[Waiting], buckets: Mapping[str, Bucket], after: datetime) -> datetime | None:
    """The first look from `after` on that may tell something; looks are on full multiples of `SWEEP_EVERY`.

    What no limit holds back waits for the end of its incident, and those of one channel and group for one another.
    """
    parts: dict[tuple[str, str, bool], list[Waiting]] = defaultdict(list)
    for one in waiting:
        parts[one.channel, one.group_key, one.limited].append(one)
    found = (_tellable(part, buckets) for part in parts.values())
    soonest = min((at for at in found if at), default=None)
    return aligned(max(soonest, after)) if soonest else None


def aligned(at: datetime) -> datetime:
    """The first look at or after an instant."""
    return EPOCH - (EPOCH - at) // SWEEP_EVERY * SWEEP_EVERY


def _tellable(part: list[Waiting], buckets: Mapping[str, Bucket]) -> datetime | None:
    """When one of these can be told: all are due, the incident is over where it must be, and the buckets have one."""
    due, first = max(one.due_at for one in part), part[0]
    over = due if first.limited else min((one.over_at for one in part if one.over_at), default=None)
    ready = [_ready(buckets[name]) for name in (first.channel, ALL) if name in buckets]
    return max(due, over, *ready) if over else None


def _ready(bucket: Bucket) -> datetime:
    missing = max(1 - bucket.level, 0.0)
    return bucket.at + timedelta(minutes=missing / bucket.limit.per_minute) - _ROUNDING
