"""Who would have been told what of simulated incidents: `engine.notify.decide` at every evaluation that can matter."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from engine.history import Grid
from engine.notify import Alert, Reason, Sent, decide, listeners, memory, next_look
from engine.rule import Rule
from engine.state import Transition
from engine.truth import group_key


@dataclass(frozen=True, slots=True)
class Notice:
    """What a channel would have been told about a group's incident, or why not. `alert` counts them per group."""

    time: datetime
    labels: Mapping[str, str]
    alert: int
    channel: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Incident:
    """One firing episode of one group; `resolved` None: still open at the end. `number` counts from 1."""

    labels: Mapping[str, str]
    number: int
    opened: datetime
    resolved: datetime | None
    opens: tuple[datetime, ...] = ()  # of the group of late, this one too

    def alert(self, at: datetime, told_at: datetime | None = None, *, inhibited: bool = False) -> Alert:
        """The incident as a decision at `at` sees it; `told_at` is when the first channel heard of it."""
        key = group_key(self.labels)
        firing = frozenset({key} if self.is_open(at) else ())
        return Alert(f"{key}#{self.number}", firing, told_at=told_at, opens=self.opens, inhibited=inhibited)

    def is_open(self, at: datetime) -> bool:
        """Whether it fires at `at`."""
        return self.opened <= at and (self.resolved is None or at < self.resolved)


def incidents(walk: Sequence[Transition]) -> list[Incident]:
    """The firing episodes in one group's transitions."""
    opened = [t for t in walk if t.opens]
    ends = [*(t.at for t in walk if t.resolves), None]
    return [Incident(t.labels, n + 1, t.at, ends[n]) for n, t in enumerate(opened)]


def notices(rule: Rule, grid: Grid, walk: Sequence[Transition], worse: Sequence[Incident] = ()) -> Iterator[Notice]:
    """What every channel would have been told about one group; a silence once for as long as its reason stays.

    `worse` are the incidents of the group's worse level, which inhibit. What depends on other rules is left out:
    silences, inhibition, rate limits and the digests that follow them.
    """
    logs: dict[str, list[Sent]] = {channel: [] for channel in listeners(rule)}
    found = incidents(walk)
    times, span = [incident.opened for incident in found], rule.flapping.within if rule.flapping else timedelta(0)
    for n, incident in enumerate(found):
        since = incident.opened - memory(rule)
        logs = {channel: [sent for sent in log if sent.at > since] for channel, log in logs.items()}
        opens = tuple(times[bisect_right(times, incident.opened - span) : n + 1])
        yield from _told(rule, grid, logs, replace(incident, opens=opens), worse)


def _told(
    rule: Rule, grid: Grid, logs: Mapping[str, list[Sent]], incident: Incident, worse: Sequence[Incident]
) -> Iterator[Notice]:
    last = dict.fromkeys(logs, Reason.NOTHING_NEW)
    told_at: datetime | None = None
    at: datetime | None = incident.opened
    while at is not None:
        inhibiting = _open_at(worse, at)
        for channel, listener in listeners(rule).items():
            log, alert = logs[channel], incident.alert(at, told_at, inhibited=inhibiting is not None)
            decided = decide(rule, log, alert, at, listener)
            if decided.notifies:
                log.append(Sent(at, alert.id, decided, alert.firing))
                told_at = told_at or at
            if decided is not Reason.NOTHING_NEW and (decided.notifies or decided is not last[channel]):
                yield Notice(at, incident.labels, incident.number, channel, decided)
            last[channel] = decided
        alert = incident.alert(at, told_at)
        looks = [
            inhibiting.resolved or grid.end
            if inhibiting and last[name] is Reason.INHIBITED
            else next_look(rule, logs[name], last[name], at, alert, each)
            for name, each in listeners(rule).items()
        ]
        at = _after(grid, incident, at, min((look for look in looks if look), default=None))


def _open_at(found: Sequence[Incident], at: datetime) -> Incident | None:
    """The one of a group's incidents that is open then; they are in order."""
    begun = bisect_right(found, at, key=lambda each: each.opened)
    return found[begun - 1] if begun and found[begun - 1].is_open(at) else None


def _after(grid: Grid, incident: Incident, at: datetime, look: datetime | None) -> datetime | None:
    """The evaluation of the next decision, given when it can come out otherwise; None after the last."""
    if at == incident.resolved:
        return None
    stop = incident.resolved or grid.end
    soon = stop if look is None else grid.at(max(grid.tick(at) + 1, grid.tick(look)))
    return soon if soon < stop else incident.resolved
