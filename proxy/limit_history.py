"""What is to be kept of providers' limits: of each the fullest reading a minute, while it changes. Pure.

A reading that says what the last one kept says is left out, for ten minutes at most. Times are seconds since the epoch.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from data.queries.limits import LimitRow
from proxy.limit_headers import Limit

#: While the store is away so much waits; then the oldest is given up.
MOST_WAITING: Final = 20_000
_MOST_LIMITS: Final = 5_000
_AGAIN_S: Final = 600.0
_EARLIEST_S: Final = -62_135_596_800.0  # the beginning of the calendar, which zones east of Greenwich see earlier
_LATEST_S: Final = 253_402_214_400.0  # its end

#: Whose limit it is, and which: provider, credential, name.
Place = tuple[str, str, str]


class Reading(NamedTuple):
    """A limit's state at an instant; `most` is what there is of it, in requests, tokens or as 1 of a window."""

    at_s: float
    remaining: float
    most: float
    reset_s: float | None

    @property
    def used_percent(self) -> float:
        """How much is used, never below nothing."""
        return max(1.0 - self.remaining / self.most, 0.0) * 100


class LimitHistory:
    """Collects readings until they are kept. Use it from the event loop."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[Place, int], Reading] = {}
        self._kept: dict[Place, Reading] = {}  # what was noted last of each limit, whether it is kept yet or not

    def take(self, provider: str, credential: str, limit: Limit, at_s: float) -> None:
        """A limit was read; one of which nobody says how much there is cannot be used up by any share."""
        if not limit.limit:
            return
        place, reading = (provider, credential, limit.name), Reading(at_s, limit.remaining, limit.limit, limit.reset_s)
        last = self._kept.get(place)
        if last is not None and reading[1:] == last[1:] and 0 <= at_s - last.at_s < _AGAIN_S:
            return
        minute = int(at_s // 60)
        if last is not None and int(last.at_s // 60) == minute and reading.used_percent <= last.used_percent:
            return
        self._note(place, minute, reading)

    def waiting(self, most: int) -> dict[tuple[Place, int], Reading]:
        """Return up to `most` readings that are not kept yet, the oldest first."""
        return dict(list(self._waiting.items())[:most])

    def kept(self, readings: Mapping[tuple[Place, int], Reading]) -> None:
        """These are kept now; what came for the same minute since then still waits."""
        for key, reading in readings.items():
            if self._waiting.get(key) == reading:
                del self._waiting[key]

    def _note(self, place: Place, minute: int, reading: Reading) -> None:
        if len(self._kept) >= _MOST_LIMITS and place not in self._kept:
            del self._kept[next(iter(self._kept))]
        self._kept[place] = self._waiting[place, minute] = reading
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]


def rows(proxy: str, readings: Mapping[tuple[Place, int], Reading]) -> list[LimitRow]:
    """Return them as they are stored."""
    return [
        LimitRow(
            proxy=proxy,
            provider=provider,
            credential=credential,
            limit=name,
            minute=datetime.fromtimestamp(minute * 60, UTC),
            at=datetime.fromtimestamp(reading.at_s, UTC),
            used_percent=reading.used_percent,
            remaining=reading.remaining,
            most=reading.most,
            reset_at=_reset(reading.reset_s),
        )
        for ((provider, credential, name), minute), reading in readings.items()
    ]


def _reset(at_s: float | None) -> datetime | None:
    return None if at_s is None or not _EARLIEST_S <= at_s < _LATEST_S else datetime.fromtimestamp(at_s, UTC)
