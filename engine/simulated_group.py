"""One group's incidents in a replay: what its channels have heard, what is decided, and when to decide again. Pure."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.history import Grid
from engine.notify import FLAPPING_AGAIN, Alert, Listener, Reason, listeners, memory, next_look
from engine.quiet import Quiet
from engine.rule import Rule
from engine.state import Transition
from engine.telling import Heard, Told, Verdict, heard, verdict
from engine.truth import group_key

#: What may end at any evaluation only because the rule's active hours begin or end.
_BY_THE_HOUR = frozenset({Reason.ACKNOWLEDGED, Reason.STILL_FLAPPING, Reason.RATE_LIMITED})


@dataclass(frozen=True, slots=True)
class Incident:
    """One firing episode of one group; `resolved` None: still open at the end. `number` counts from 1."""

    labels: Mapping[str, str]
    number: int
    opened: datetime
    resolved: datetime | None

    @property
    def id(self) -> str:
        """Its name within the replay."""
        return f"{group_key(self.labels)}#{self.number}"


def incidents(walk: Sequence[Transition]) -> list[Incident]:
    """The firing episodes in one group's transitions."""
    opened = [t for t in walk if t.opens]
    ends = [*(t.at for t in walk if t.resolves), None]
    return [Incident(t.labels, n + 1, t.at, ends[n]) for n, t in enumerate(opened)]


class Group:
    """A group that fires at least once; `rule` is as it is for its level.

    `due` is when it is decided about next, None: never again.
    """

    def __init__(
        self, rule: Rule, found: Sequence[Incident], quiet: Quiet, acknowledge_after: timedelta | None
    ) -> None:
        self.rule, self.quiet = rule, quiet
        self.key = group_key(found[0].labels)
        self.due: datetime | None = found[0].opened
        self._found, self._after, self._listeners = found, acknowledge_after, listeners(rule)
        self._opens = [incident.opened for incident in found]
        self._lines: dict[str, dict[str, Told]] = {channel: {} for channel in self._listeners}
        self._begin(0)

    def _begin(self, number: int) -> None:
        """Turn to the next incident; of what was said before, only what still matters is kept."""
        self.incident, self._id = self._found[number], self._found[number].id
        since = self.incident.opened - memory(self.rule)
        for channel, lines in self._lines.items():
            kept = {each: line for each, line in lines.items() if (line.held if line.silent else line.at > since)}
            self._lines[channel] = kept
        span = self.rule.flapping.within if self.rule.flapping else timedelta(0)
        self._recent = tuple(self._opens[bisect_right(self._opens, self.incident.opened - span) : number + 1])
        self._told_at: datetime | None = None
        self._known: dict[str, Heard] = {}
        self._decided = dict.fromkeys(self._listeners, Reason.NOTHING_NEW)

    def decide(self, at: datetime) -> Iterator[Verdict]:
        """A verdict for each channel that is told now, or that is newly kept quiet."""
        alert = self._alert(at)
        for channel, listener in self._listeners.items():
            self._decided[channel], made = verdict(self.rule, channel, listener, self._heard(channel), alert, at)
            if made:
                yield made

    def record(self, line_id: str, line: Told) -> None:
        """Something was said, or newly not said."""
        self._lines[line.channel][line_id] = line
        self._known.pop(line.channel, None)
        if line.alert_id == self._id:
            self._decided[line.channel] = Reason(line.reason)
            self._note_told(line)

    def told_late(self, line_id: str, channel: str, reason: str, at: datetime) -> None:
        """What was held back was told with others at `at`, and counts with this reason."""
        old = self._lines[channel][line_id]
        line = Told(old.alert_id, old.group_key, channel, reason, at, silent=False, held=reason)
        self._lines[channel][line_id] = line
        self._known.pop(channel, None)
        if line.alert_id == self._id:
            self._note_told(line)

    def drop(self, line_id: str, channel: str) -> None:
        """What was held back of an incident that is over says nothing any more."""
        self._lines[channel].pop(line_id, None)
        self._known.pop(channel, None)

    def look_on(self, grid: Grid, at: datetime) -> None:
        """Find when to decide again after the evaluation at `at`; after an incident's end, of the next one."""
        if at == self.incident.resolved:
            number = self.incident.number
            self.due = self._found[number].opened if number < len(self._found) else None
            if self.due:
                self._begin(number)
            return
        alert = self._alert(at)
        looks = [self._look(channel, listener, alert, at) for channel, listener in self._listeners.items()]
        self.due = self._evaluation(grid, at, min((look for look in looks if look), default=None))

    def wake(self, grid: Grid, at: datetime) -> None:
        """Decide at the next evaluation: what was said has changed at `at`."""
        if self.due and self.incident.opened <= at:
            soon = self._evaluation(grid, at, at)
            self.due = min(self.due, soon) if soon else self.due

    def _evaluation(self, grid: Grid, at: datetime, look: datetime | None) -> datetime | None:
        """The first evaluation after `at` from `look` on, at the latest the one that ends the incident."""
        stop = self.incident.resolved or grid.end
        if look is None or look >= stop:
            return self.incident.resolved
        tick = grid.tick(max(at, look))
        soon = grid.at(tick) if grid.at(tick) > at else grid.at(tick + 1)
        return soon if soon < stop else self.incident.resolved

    def _alert(self, at: datetime) -> Alert:
        """The incident as a decision at `at` sees it."""
        ended = self.incident.resolved is not None and at >= self.incident.resolved
        taken_on = self._taken_on_at()
        return Alert(
            self._id,
            frozenset() if ended else frozenset({self.key}),
            acknowledged=taken_on is not None and at >= taken_on,
            silenced=self.quiet.silenced(at),
            inhibited=self.quiet.inhibited(at),
            told_at=self._told_at,
            opens=self._recent,
        )

    def _taken_on_at(self) -> datetime | None:
        return self._told_at + self._after if self._told_at and self._after is not None else None

    def _heard(self, channel: str) -> Heard:
        if channel not in self._known:
            self._known[channel] = heard(list(self._lines[channel].values()), self._id)
        return self._known[channel]

    def _note_told(self, line: Told) -> None:
        if not line.silent:
            self._told_at = min(self._told_at or line.at, line.at)

    def _look(self, channel: str, listener: Listener, alert: Alert, at: datetime) -> datetime | None:
        """When the decision about a channel can next come out otherwise."""
        decided, log = self._decided[channel], self._heard(channel).log
        if decided.notifies or self._is_restless(decided, listener):
            return at
        looks = [next_look(self.rule, log, Reason.NOTHING_NEW, at, alert, listener)]
        if decided is not Reason.NOTHING_NEW:
            looks += [self.quiet.next_change(at), self._taken_on_at()]
        if decided is Reason.STILL_FLAPPING:
            looks += [sent.at + FLAPPING_AGAIN for sent in log]
        return min((look for look in looks if look and look > at), default=None)

    def _is_restless(self, decided: Reason, listener: Listener) -> bool:
        """Whether active hours may change it at any evaluation, also what stands behind a quiet time."""
        if decided is Reason.INACTIVE_HOURS:
            return True
        behind = decided is Reason.COOLDOWN and bool(listener.steps)
        return self.rule.active is not None and (behind or decided in _BY_THE_HOUR)
