"""Who would have been told what of simulated incidents, one instant after the other, by the live engine's own code.

At every evaluation at which a decision can come out otherwise, `engine.telling.verdict` decides; what comes of that is
up to `engine.simulated_outbox`, where rate limits and digests are. In between, deciding again would change nothing.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from heapq import heapify, heappop, heappush

from data.queries.notifications import PENDING, SILENT, NotificationRow
from engine import notice, outbox
from engine.audit import new_id
from engine.bundle import Line
from engine.company import Company
from engine.digest import SWEEP_EVERY
from engine.episode import Watched, known_by
from engine.history import Grid
from engine.inhibition import Source, Subject
from engine.levels import quieted
from engine.notice import NoticeStatus
from engine.notify import Reason, listeners
from engine.quiet import Inhibiting, Quiet
from engine.rule import Rule
from engine.said import Digest, Message, Said, SimulatedNotice
from engine.simulated_group import Group, Incident, incidents
from engine.simulated_outbox import Episode, Outbox
from engine.state import Transition
from engine.surroundings import Recorded, Surroundings
from engine.telling import Told, Verdict
from engine.truth import group_key

Walks = Sequence[tuple[Mapping[str, str], Sequence[Transition]]]


def said(rule: Rule, grid: Grid, walks: Walks, around: Surroundings) -> Said:
    """What every channel would have been told of the groups whose transitions are `walks`, or why not.

    A silence is there once for as long as its reason stays.
    """
    return _Stage(rule, grid, walks, around).played()


class _Stage:
    def __init__(self, rule: Rule, grid: Grid, walks: Walks, around: Surroundings) -> None:
        self._watched, self._grid = Watched(around.rule_id, 0, rule), grid
        channels = {channel for one in (rule, *rule.levels.values()) for channel in listeners(one)}
        limits = {name: limit for name, limit in around.limits.items() if name in channels or not name}
        bundling = frozenset(channels) if around.bundling is None else around.bundling
        self._outbox = Outbox(rule, limits, bundling, around.others)
        self._groups = {group.key: group for group in _groups(self._watched, walks, around)}
        self._company = Company.of(rule)
        self._order = sorted(self._groups)
        self._queue = [(group.due, place) for place, key in enumerate(self._order) if (group := self._groups[key]).due]
        heapify(self._queue)
        self._notices: dict[str, SimulatedNotice] = {}
        self._digests: list[Digest] = []
        self._messages: list[Message] = []

    def played(self) -> Said:
        after = self._grid.start
        while True:
            look, sweep = self._next_look(), self._outbox.next_sweep(after)
            if sweep is not None and sweep < self._grid.end and (look is None or sweep < look):
                self._sweep(sweep)
                after = sweep + SWEEP_EVERY
            elif look is not None:
                self._evaluate(look)
                after = max(after, look)
            else:
                told = tuple(self._notices.values())
                return Said(told, tuple(self._digests), tuple(self._messages), self._outbox.held)

    def _next_look(self) -> datetime | None:
        """When a group is decided about next; drops what it was to be before that changed."""
        while self._queue and self._groups[self._order[self._queue[0][1]]].due != self._queue[0][0]:
            heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def _evaluate(self, at: datetime) -> None:
        due: dict[int, Group] = {}
        while self._queue and self._queue[0][0] == at:
            place = heappop(self._queue)[1]
            if (group := self._groups[self._order[place]]).due == at:
                due[place] = group
        for group in due.values():
            if group.is_over(at):
                self._company.leave(group.key)
        lines = [
            self._line(group, verdict, at) for group in due.values() for verdict in group.decide(at, self._company)
        ]
        if lines:
            for row in self._outbox.commit(lines, self._episode, at):
                self._record(row)
        for place, group in due.items():
            group.look_on(self._grid, at)
            self._queue_again(place, group)

    def _queue_again(self, place: int, group: Group) -> None:
        if group.due:
            heappush(self._queue, (group.due, place))

    def _line(self, group: Group, verdict: Verdict, at: datetime) -> Line:
        """As `engine.episode` has it, without the words."""
        speaks, incident, rule = verdict.reason.notifies, group.incident, group.rule
        told = notice.Notice(
            title=rule.name,
            status=NoticeStatus.FIRING if group.is_open(at) else NoticeStatus.RESOLVED,
            severity=rule.severity.value,
            at=at,
            reason=verdict.reason.value,
            alert_id=group.id,
            rule_id=self._watched.id,
            rule_name=rule.name,
            labels=incident.labels,
            opened_at=incident.opened,
        )
        row = outbox.queued(
            new_id(), told, channel=verdict.channel, at=at, group_key=group.key, status=PENDING if speaks else SILENT
        )
        return Line(replace(row, held=verdict.held, due_at=verdict.due_at or at) if verdict.held else row, told)

    def _episode(self, row: NotificationRow) -> Episode:
        """The incident that is decided about now."""
        group = self._groups[row.group_key]
        incident, rule = group.incident, group.rule
        return Episode(rule.name, rule.severity.value, incident.opened, incident.resolved)

    def _record(self, row: NotificationRow) -> None:
        """Remember a row of the outbox, and what arrives of it."""
        if row.status == PENDING:
            self._messages.append(Message(row.created_at, row.channel, digest=False))
        if not row.alert_id:
            return
        group, silent = self._groups[row.group_key], row.status == SILENT
        line = Told(row.alert_id, row.group_key, row.channel, row.reason, row.created_at, silent, row.held)
        group.record(row.id, line)
        if not silent:
            self._join(group, row, row.created_at)
        number = int(row.alert_id.rpartition("#")[2])
        held = Reason(row.held) if row.held else None
        made = SimulatedNotice(row.created_at, group.incident.labels, number, row.channel, Reason(row.reason), held)
        self._notices[row.id] = made

    def _join(self, group: Group, row: NotificationRow, at: datetime) -> None:
        """The row's channel knows now that its incident fires, if that does still."""
        if row.alert_id == group.id and group.is_open(at):
            self._company.join(row.channel, group.key)

    def _sweep(self, at: datetime) -> None:
        """Tell what can be told of what was held back; whoever hears of it is decided about anew."""
        swept = self._outbox.sweep(at)
        for row in swept.stale:
            self._groups[row.group_key].drop(row.id, row.channel)
        for row in swept.told:
            group = self._groups[row.group_key]
            group.told_late(row.id, row.channel, row.held, at)
            self._join(group, row, at)
            self._notices[row.id] = replace(self._notices[row.id], told_at=at)
        for row in swept.rows:
            if row.alert_id:
                self._record(row)
            else:
                parts = [part for part in swept.told if part.bundle == row.id]
                self._digests.append(_digest(row, parts, at))
                self._messages.append(Message(at, row.channel, digest=True))
        for key in {row.group_key for row in swept.told}:
            self._groups[key].wake(self._grid, at)
            self._queue_again(bisect_left(self._order, key), self._groups[key])


def _digest(row: NotificationRow, parts: Sequence[NotificationRow], at: datetime) -> Digest:
    alerts = {part.alert_id for part in parts}
    return Digest(at, row.channel, len(parts), len(alerts), notice.decode(row.notice).summary)


def _groups(watched: Watched, walks: Walks, around: Surroundings) -> Iterator[Group]:
    found = {group_key(labels): incidents(walk) for labels, walk in walks}
    subjects = {key: Subject(watched.id, key, known_by(watched, some[0].labels)) for key, some in found.items() if some}
    inhibiting = Inhibiting([*around.inhibiting, *_own(watched.rule, found, subjects)])
    worse = {quieted(key): found[key] for key in found} if watched.rule.levels else {}
    for key, subject in subjects.items():
        times = [(one.opened, one.resolved) for one in worse.get(key, ())]
        quiet = Quiet.around(subject, around.silences, times, inhibiting)
        rule = watched.rule.of(found[key][0].labels)
        yield Group(rule, found[key], quiet, around.acknowledge_after, around.whole)


def _own(rule: Rule, found: Mapping[str, Sequence[Incident]], subjects: Mapping[str, Subject]) -> Iterator[Recorded]:
    """The rule's own incidents, where it inhibits."""
    for key, subject in subjects.items() if rule.inhibits else ():
        yield from (Recorded(Source.of(rule, subject, one.opened), one.resolved) for one in found[key])
