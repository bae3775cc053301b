"""The outbox of a replay: what becomes of lines at one instant after the other, by the live engine's own rules.

Bundles (`engine.bundle`), rate limits (`engine.ration`) and digests (`engine.digest`) are those of the worker; instead
of in the store, what was sent and what is held back is kept here.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import is_
from typing import Any

from data.queries.alerts import Changes
from data.queries.notifications import PENDING, SILENT, NotificationRow
from engine.bucket import OVERALL, Bucket, Limit
from engine.bundle import Line, bundled
from engine.digest import Held, telling
from engine.notify import Reason
from engine.ration import rationed
from engine.rule import Rule
from engine.surroundings import Sent
from engine.sweeps import Waiting, Waits
from engine.terms import ALL, Terms

#: What of a row rate limits ask for.
_RATIONED = ("id", "alert_id", "channel", "status", "reason", "bundle", "notice", "created_at")


@dataclass(frozen=True, slots=True)
class Episode:
    """What a digest says of the incident that a line is about."""

    rule_name: str
    severity: str
    opened: datetime
    resolved: datetime | None

    def open_at(self, at: datetime) -> bool:
        """Whether it is not over yet."""
        return self.resolved is None or at < self.resolved


@dataclass(frozen=True, slots=True)
class Swept:
    """What comes of one look at what is held back: new `rows`, and what these tell of (`told`), or nobody (`stale`).

    Rows in `told` have the `bundle` that tells of them, and as `held` the reason that they count with.
    """

    rows: tuple[NotificationRow, ...]
    told: tuple[NotificationRow, ...]
    stale: tuple[NotificationRow, ...]


class Outbox:
    """For one rule; time only goes on."""

    def __init__(
        self, rule: Rule, limits: Mapping[str, Limit], bundling: frozenset[str], others: Sequence[Sent] = ()
    ) -> None:
        self._rule, self._bundling = rule, bundling
        self._others = deque(others)
        self._limits = {ALL: OVERALL, **limits}
        self._buckets: dict[str, Bucket] = {}
        self._held: dict[str, tuple[NotificationRow, Episode]] = {}
        self._waits = Waits()
        #: (incident, channel) that something was sent of
        self._told: set[tuple[str, str]] = set()

    def commit(
        self, lines: Sequence[Line], episode: Callable[[NotificationRow], Episode], at: datetime
    ) -> list[NotificationRow]:
        """The rows that come of an evaluation's lines; `episode` is the incident of one that is held back."""
        found = bundled(self._rule, lines, self._bundling) if len(lines) > 1 else [line.row for line in lines]
        if any(row.status == PENDING for row in found):
            found = self._rationed(found, at)
        for row in found:
            if row.status != SILENT:
                self._told.add((row.alert_id, row.channel))
            elif row.held:
                self._hold(row, episode(row))
        return found

    def _rationed(self, found: Sequence[NotificationRow], at: datetime) -> list[NotificationRow]:
        rows = tuple({name: getattr(row, name) for name in _RATIONED} for row in found)
        (made,) = rationed([(self._rule.severity, Changes(notices=rows))], self._terms(at), at)
        self._spend(made.spent, at)
        if len(made.notices) == len(rows) and all(map(is_, made.notices, rows)):
            return list(found)
        changed = {row["id"]: row for row in made.notices}
        return [
            row if changed[row.id]["status"] == row.status else replace(row, **changed[row.id])
            for row in found
            if row.id in changed
        ]

    def sweep(self, at: datetime) -> Swept:
        """Tell what can be told by now of what was held back."""
        made = telling(self._due(at), self._terms(at), at)
        self._spend(made.spent, at)
        stale = tuple(map(self._let_go, made.stale))
        told = tuple(replace(self._let_go(mark["id"]), bundle=mark["bundle"], held=mark["held"]) for mark in made.told)
        self._told |= {(row.alert_id, row.channel) for row in told}
        return Swept(made.rows, told, stale)

    def _hold(self, row: NotificationRow, episode: Episode) -> None:
        self._held[row.id] = row, episode
        limited = row.reason == Reason.RATE_LIMITED
        self._waits.add(row.id, Waiting(row.channel, row.group_key, limited, row.due_at, episode.resolved))

    def _let_go(self, row_id: str) -> NotificationRow:
        row, _ = self._held.pop(row_id)
        self._waits.drop(row_id)
        return row

    def _due(self, at: datetime) -> list[Held]:
        """As `data.queries.held.held` has it, but for what has to wait for the end of its incident."""
        ready = self._waits.tellable(at)
        due = (self._held[row_id] for row_id in self._held if row_id in ready)
        return [
            _held(row, episode, at, told=(row.alert_id, row.channel) in self._told)
            for row, episode in due
            if not _waits_on(row, episode, at)
        ]

    def next_sweep(self, after: datetime) -> datetime | None:
        """When something may be told; None while nothing is held back."""
        return self._waits.next_sweep(self._buckets, after)

    @property
    def held(self) -> int:
        """How much is held back still."""
        return len(self._held)

    def _terms(self, at: datetime) -> Terms:
        while self._others and self._others[0].at <= at:
            self._make_room(self._others.popleft())
        full = {name: Bucket.full(limit, at) for name, limit in self._limits.items() if name not in self._buckets}
        return Terms(full | self._buckets, self._bundling)

    def _make_room(self, sent: Sent) -> None:
        """Take what others sent; where limits were wider then, no more than there is."""
        for name in {sent.channel, ALL} & self._limits.keys():
            bucket = self._buckets.get(name, Bucket.full(self._limits[name], sent.at)).filled(sent.at)
            self._buckets[name] = replace(bucket, level=max(bucket.level - sent.notices, 0.0))

    def _spend(self, spent: Sequence[Mapping[str, Any]], at: datetime) -> None:
        """As `data.queries.rates.spending` has it."""
        for row in spent:
            name, limit = row["channel"], Limit(row["per_minute"], row["burst"])
            known = self._buckets.get(name)
            level = known.filled(at).level if known else limit.burst
            self._buckets[name] = Bucket(limit, level - row["spent"], at)


def _waits_on(row: NotificationRow, episode: Episode, at: datetime) -> bool:
    return row.reason != Reason.RATE_LIMITED and episode.open_at(at)


def _held(row: NotificationRow, episode: Episode, at: datetime, *, told: bool) -> Held:
    is_open = episode.open_at(at)
    return Held(
        id=row.id,
        alert_id=row.alert_id,
        group_key=row.group_key,
        channel=row.channel,
        reason=row.reason,
        held=row.held,
        created_at=row.created_at,
        fallback=row.fallback,
        notice=row.notice,
        rule_id=row.rule_id,
        rule_name=episode.rule_name,
        severity=episode.severity,
        opened_at=episode.opened,
        resolved_at=None if is_open else episode.resolved,
        open=is_open,
        told=told,
    )
