"""What keeps one group's incidents quiet over a stretch of time: silences, and incidents that inhibit. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from engine.inhibition import Inhibitors, Subject
from engine.silences import Silence
from engine.surroundings import Recorded


class Inhibiting:
    """Incidents that inhibit, looked up at one instant after the other."""

    def __init__(self, recorded: Sequence[Recorded]) -> None:
        self._recorded = recorded
        self._edges = _sorted(edge for one in recorded for edge in (one.source.opened, one.resolved))
        self._known: tuple[int, Inhibitors] = (0, Inhibitors())

    def __bool__(self) -> bool:
        return bool(self._recorded)

    def at(self, instant: datetime) -> Inhibitors:
        """Those that are open at an instant."""
        place = bisect_right(self._edges, instant)
        if place != self._known[0]:
            found = (one.source for one in self._recorded if _open(one.source.opened, one.resolved, instant))
            self._known = place, Inhibitors(found)
        return self._known[1]

    def next_change(self, instant: datetime) -> datetime | None:
        """When another begins or ends."""
        return _following(self._edges, instant)


@dataclass(frozen=True, slots=True)
class Quiet:
    """What concerns one group: the silences that cover it, when its worse level is open, and what inhibits."""

    subject: Subject
    silences: tuple[Silence, ...]
    worse: tuple[tuple[datetime, datetime | None], ...]
    inhibiting: Inhibiting
    edges: tuple[datetime, ...]

    @classmethod
    def around(
        cls,
        subject: Subject,
        silences: Iterable[Silence],
        worse: Iterable[tuple[datetime, datetime | None]],
        inhibiting: Inhibiting,
    ) -> "Quiet":
        """What of all this concerns the group; `worse` are the times [start, end) in order."""
        mine, times = tuple(each for each in silences if each.covers(subject.labels)), tuple(worse)
        ends = ((each.starts_at, each.ends_at) for each in mine)
        return cls(subject, mine, times, inhibiting, tuple(_sorted(chain.from_iterable((*ends, *times)))))

    def silenced(self, at: datetime) -> bool:
        """Whether a silence covers the group at an instant."""
        return any(each.starts_at <= at < each.ends_at for each in self.silences)

    def inhibited(self, at: datetime) -> bool:
        """Whether its worse level or another incident keeps it quiet at an instant."""
        begun = bisect_right(self.worse, at, key=lambda each: each[0])
        if begun and _open(*self.worse[begun - 1], at):
            return True
        return bool(self.inhibiting) and self.inhibiting.at(at).of(self.subject) is not None

    def next_change(self, at: datetime) -> datetime | None:
        """When either may be otherwise; None: never."""
        found = (_following(self.edges, at), self.inhibiting.next_change(at))
        return min((each for each in found if each), default=None)


def _open(start: datetime, end: datetime | None, at: datetime) -> bool:
    return start <= at and (end is None or at < end)


def _sorted(edges: Iterable[datetime | None]) -> list[datetime]:
    return sorted({edge for edge in edges if edge})


def _following(edges: Sequence[datetime], at: datetime) -> datetime | None:
    place = bisect_right(edges, at)
    return edges[place] if place < len(edges) else None
