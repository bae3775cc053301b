"""One group's incidents in a replay: what its channels have heard, what is decided, and when to decide again. Pure."""

from bisect import bisect_right
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from engine.company import Company
from engine.history import Grid
from engine.notify import FLAPPING_AGAIN, Alert, Listener, Reason, listeners, memory, next_look
from engine.quiet import Quiet
from engine.rule import Rule
from engine.state import Transition
from engine.telling import Heard, Told, Verdict, heard, sent, verdict
from engine.truth import group_key

#: What may end at any evaluation only because the rule's active hours begin or end.
_BY_THE_HOUR = frozenset({Reason.ACKNOWLEDGED, Reason.STILL_FLAPPING, Reason.RATE_LIMITED})
#: As many are kept without a look at what of them still matters.
_FEW_LINES = 20


@dataclass(frozen=True, slots=True)
class Incident:
    """One firing episode of one group; `resolved` None: still open at the end. `number` counts from 1."""

    labels: Mapping[str, str]
    number: int
    opened: datetime
    resolved: datetime | None


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
        self,
        rule: Rule,
        found: Sequence[Incident],
        quiet: Quiet,
        acknowledge_after: timedelta | None,
        whole: Container[str] = (),
    ) -> None:
        self.rule, self.quiet = rule, quiet
        self.key = group_key(found[0].labels)
        self.due: datetime | None = found[0].opened
        self._found, self._after, self._listeners = found, acknowledge_after, listeners(rule, whole)
        self._opens = [incident.opened for incident in found]
        self._lines: dict[str, dict[str, Told]] = {channel: {} for channel in self._listeners}
        self._known = {channel: Heard([]) for channel in self._listeners}
        self._enough = dict.fromkeys(self._listeners, _FEW_LINES)
        self._firing = frozenset({self.key})
        self._told_at: datetime | None = None
        self._last = Alert("", frozenset())
        self._begin(0)

    def _begin(self, number: int) -> None:
        """Turn to the next incident."""
        self.incident = self._found[number]
        self.id = f"{self.key}#{self.incident.number}"
        span = self.rule.flapping.within if self.rule.flapping else timedelta(0)
        self._recent = tuple(self._opens[bisect_right(self._opens, self.incident.opened - span) : number + 1])
        self._told_at = None
        self._decided = dict.fromkeys(self._listeners, Reason.NOTHING_NEW)
        self._forget()
        for known in self._known.values():
            known.last, known.waits = "", False

    def _forget(self) -> None:
        """Of what was said before, keep only what still matters; now and then, since it takes a look at all of it."""
        since = self.incident.opened - memory(self.rule)
        for channel, lines in self._lines.items():
            if len(lines) > self._enough[channel]:
                kept = {each: line for each, line in lines.items() if _matters(line, since)}
                self._lines[channel], self._enough[channel] = kept, 2 * len(kept) + _FEW_LINES
                self._known[channel] = self._heard(channel)

    def decide(self, at: datetime, company: Company) -> Iterator[Verdict]:
        """A verdict for each channel that is told now, or that is newly kept quiet."""
        self._last = alert = self._alert(at)
        for channel, listener in self._listeners.items():
            known = self._known[channel]
            known.beside = company.beside(channel, self.key)
            self._decided[channel], made = verdict(self.rule, channel, listener, known, alert, at)
            if made:
                yield made

    def record(self, line_id: str, line: Told) -> None:
        """Something was said, or newly not said."""
        known = self._known[line.channel]
        self._lines[line.channel][line_id] = line
        if not line.silent:
            known.log.append(sent(line))
        if line.alert_id == self.id:
            self._decided[line.channel] = Reason(line.reason)
            known.last, known.waits = line.reason, known.waits or line.waits
            self._note_told(line)

    def told_late(self, line_id: str, channel: str, reason: str, at: datetime) -> None:
        """What was held back was told with others at `at`, and counts with this reason."""
        old = self._lines[channel][line_id]
        line = Told(old.alert_id, old.group_key, channel, reason, at, silent=False, held=reason)
        self._lines[channel][line_id] = line
        self._known[channel] = self._heard(channel)
        if line.alert_id == self.id:
            self._note_told(line)

    def drop(self, line_id: str, channel: str) -> None:
        """What was held back of an incident that is over says nothing any more."""
        self._lines[channel].pop(line_id, None)

    def look_on(self, grid: Grid, at: datetime) -> None:
        """Find when to decide again after the evaluation at `at`; after an incident's end, of the next one."""
        if at == self.incident.resolved:
            number = self.incident.number
            self.due = self._found[number].opened if number < len(self._found) else None
            if self.due:
                self._begin(number)
            return
        alert = self._last if self._last.told_at == self._told_at else replace(self._last, told_at=self._told_at)
        looks = [self._look(channel, listener, alert, at) for channel, listener in self._listeners.items()]
        self.due = self._evaluation(grid, at, min((look for look in looks if look), default=None))

    def wake(self, grid: Grid, at: datetime) -> None:
        """Decide at the next evaluation: what was said has changed at `at`."""
        soon = self._evaluation(grid, at, at) if self.is_open(at) else None
        if soon:
            self.due = min(self.due or soon, soon)

    def is_open(self, at: datetime) -> bool:
        """Whether the incident fires at an instant, which is none after the next decision."""
        return self.incident.opened <= at and not self.is_over(at)

    def is_over(self, at: datetime) -> bool:
        """Whether the incident has ended by an instant."""
        return self.incident.resolved is not None and at >= self.incident.resolved

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
        taken_on = self._taken_on_at()
        return Alert(
            self.id,
            frozenset() if self.is_over(at) else self._firing,
            acknowledged=taken_on is not None and at >= taken_on,
            silenced=self.quiet.silenced(at),
            inhibited=self.quiet.inhibited(at),
            told_at=self._told_at,
            opens=self._recent,
        )

    def _taken_on_at(self) -> datetime | None:
        return self._told_at + self._after if self._told_at and self._after is not None else None

    def _heard(self, channel: str) -> Heard:
        return heard(list(self._lines[channel].values()), self.id)

    def _note_told(self, line: Told) -> None:
        if not line.silent:
            self._told_at = min(self._told_at or line.at, line.at)

    def _look(self, channel: str, listener: Listener, alert: Alert, at: datetime) -> datetime | None:
        """When the decision about a channel can next come out otherwise."""
        decided, log = self._decided[channel], self._known[channel].log
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


def _matters(line: Told, since: datetime) -> bool:
    """Whether a line may still matter that is of an earlier incident: sent since then, or to be told yet."""
    return bool(line.held) if line.silent else line.at > since
