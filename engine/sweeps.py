"""When something that is held back can next be told: between two such looks, looking would change nothing. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
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


class Waits:
    """Everything that is held back, each by an id of its own.

    What no limit holds back waits for the end of its incident, and those of one channel and group for one another. When
    the first of a channel could be told, but for the limits, is kept: the next look is found without looking at all.
    """

    def __init__(self) -> None:
        self._places: dict[str, tuple[str, str, bool]] = {}
        self._parts: dict[tuple[str, str, bool], dict[str, Waiting]] = {}
        self._ready: dict[str, dict[tuple[str, str, bool], datetime]] = defaultdict(dict)
        #: by channel, None: no part can be told; missing: not known
        self._first: dict[str, datetime | None] = {}

    def add(self, name: str, one: Waiting) -> None:
        """From now on, it is held back."""
        self._places[name] = place = (one.channel, one.group_key, one.limited)
        self._parts.setdefault(place, {})[name] = one
        self._changed(place)

    def drop(self, name: str) -> None:
        """It is held back no more."""
        place = self._places.pop(name)
        del self._parts[place][name]
        self._changed(place)

    def _changed(self, place: tuple[str, str, bool]) -> None:
        if not self._parts[place]:
            del self._parts[place]
        channel, at = place[0], _tellable(self._parts.get(place, {}).values())
        before = self._ready[channel].pop(place, None)
        if at:
            self._ready[channel][place] = at
        if at == before or channel not in self._first:
            return
        first = self._first[channel]
        if before and before == first:
            del self._first[channel]
        elif at and (first is None or at < first):
            self._first[channel] = at

    def next_sweep(self, buckets: Mapping[str, Bucket], after: datetime) -> datetime | None:
        """The first look from `after` on that may tell something; looks are on full multiples of `SWEEP_EVERY`."""
        found = [
            max(first, *(_filled(buckets[name]) for name in (channel, ALL) if name in buckets), after)
            for channel in self._ready
            if (first := self._soonest(channel))
        ]
        return aligned(min(found)) if found else None

    def tellable(self, at: datetime) -> set[str]:
        """The ids of what can be told at an instant but for the limits, with what waited for it."""
        return {
            name
            for parts in self._ready.values()
            for place, ready in parts.items()
            if ready <= at
            for name in self._parts[place]
        }

    def _soonest(self, channel: str) -> datetime | None:
        if channel not in self._first:
            self._first[channel] = min(self._ready[channel].values(), default=None)
        return self._first[channel]


def next_sweep(waiting: Iterable[Waiting], buckets: Mapping[str, Bucket], after: datetime) -> datetime | None:
    """As `Waits.next_sweep` has it, for what waits now."""
    waits = Waits()
    for number, one in enumerate(waiting):
        waits.add(str(number), one)
    return waits.next_sweep(buckets, after)


def aligned(at: datetime) -> datetime:
    """The first look at or after an instant."""
    return EPOCH - (EPOCH - at) // SWEEP_EVERY * SWEEP_EVERY


def _tellable(part: Collection[Waiting]) -> datetime | None:
    """When one of these can be told, but for limits: all are due, and an incident is over where one must be."""
    due = max((one.due_at for one in part), default=None)
    if due is None or any(one.limited for one in part):
        return due
    over = min((one.over_at for one in part if one.over_at), default=None)
    return max(due, over) if over else None


def _filled(bucket: Bucket) -> datetime:
    """When it has one."""
    missing = max(1 - bucket.level, 0.0)
    return bucket.at + timedelta(minutes=missing / bucket.limit.per_minute) - _ROUNDING
