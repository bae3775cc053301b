"""Incidents: instances of rules, their transitions, and what became of them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any

import polars as pl
from sqlalchemy import Exists, Select, Table, and_, case, exists, func, or_, select, update

from data import bulk
from data.queries import rates
from data.queries.notifications import ASIDE, BUNDLED, SENT, SILENT
from data.schema import alert_comments, alert_events, alert_instances, alerts, notifications, rule_health, rules
from data.store import Statement, Store

FIRING, ACKNOWLEDGED, RESOLVED = "firing", "acknowledged", "resolved"
OPEN = (FIRING, ACKNOWLEDGED)
_GROUP = ("rule_id", "group_key")
_MONOTONE = "JOIN rules r ON r.id = u.rule_id AND r.version = u.version AND r.enabled"
_LATEST = "ON CONFLICT (rule_id) DO UPDATE SET " + ", ".join(
    f"{c.name} = excluded.{c.name}" for c in rule_health.columns if not c.primary_key
)


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows one rule's evaluation, or one person's act, leaves behind; committed together or not at all.

    `moved` rows have the columns to set. `moved` and `gone` rows of `alert_instances` carry `was_state` and
    `was_evaluated_at`, `resolved` rows of `alerts` `was_status`: they hold only while the stored row still has these.
    """

    appeared: tuple[Mapping[str, Any], ...] = ()
    moved: tuple[Mapping[str, Any], ...] = ()
    gone: tuple[Mapping[str, Any], ...] = ()
    opened: tuple[Mapping[str, Any], ...] = ()
    resolved: tuple[Mapping[str, Any], ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
    notices: tuple[Mapping[str, Any], ...] = ()
    health: tuple[Mapping[str, Any], ...] = field(default=())
    spent: tuple[Mapping[str, Any], ...] = ()

    @property
    def rows(self) -> int:
        """How many rows are written."""
        return sum(len(getattr(self, name)) for name in self.__dataclass_fields__)


def committing(changes: Iterable[Changes]) -> list[Statement]:
    """All of the changes as a few statements; each fails the whole when a row is not as it was read.

    Rows of `health` name the rule's version that was evaluated: an edited, disabled or deleted rule fails the whole.
    """
    parts = list(changes)
    made: tuple[tuple[Callable[..., Statement], Table, str, Mapping[str, Any]], ...] = (
        (bulk.inserting, rule_health, "health", {"guard": _MONOTONE, "conflict": _LATEST}),
        (bulk.inserting, alert_instances, "appeared", {"guard": _absent()}),
        (bulk.updating, alert_instances, "moved", {"by": _GROUP}),
        (bulk.deleting, alert_instances, "gone", {"by": _GROUP}),
        (bulk.inserting, alerts, "opened", {}),
        (bulk.updating, alerts, "resolved", {"by": ("id",)}),
        (bulk.inserting, alert_events, "events", {}),
        (bulk.inserting, notifications, "notices", {}),
    )
    paid = rates.spending([row for part in parts for row in part.spent])
    statements: list[Statement] = []
    for make, table, name, options in made:
        rows = chain.from_iterable(getattr(part, name) for part in parts)
        statements += [make(table, alike, **options) for alike in _alike(rows)]
    return statements + paid


def _alike(rows: Iterable[Mapping[str, Any]]) -> Iterable[list[Mapping[str, Any]]]:
    """Rows with the same columns together, as a statement needs them."""
    found: dict[tuple[str, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        found[tuple(row)].append(row)
    return found.values()


def _absent() -> str:
    same = "i.rule_id = u.rule_id AND i.group_key = u.group_key"
    return f"WHERE NOT EXISTS (SELECT 1 FROM alert_instances i WHERE {same})"


def instances(store: Store, rule_ids: Sequence[str]) -> pl.DataFrame:
    """The instances of these rules: the columns of `alert_instances`."""
    return store.frame(select(alert_instances).where(alert_instances.c.rule_id.in_(rule_ids)))


def open_alerts(store: Store, rule_ids: Sequence[str]) -> pl.DataFrame:
    """The open incidents of these rules: the columns of `alerts`."""
    wanted = alerts.c.rule_id.in_(rule_ids) & alerts.c.status.in_(OPEN)
    return store.frame(select(alerts).where(wanted))


def told(store: Store, rule_ids: Sequence[str], since: datetime) -> pl.DataFrame:
    """What each channel was told, or not, about these rules, oldest first; since then, and all of open incidents.

    Columns: id, rule_id, alert_id, group_key, channel, reason, held, at, silent. What was held back and then told with
    others counts with the reason it had at first, from when it was told. Stand-ins are left out, and what only keeps
    records in step.
    """
    still_open = select(alerts.c.id).where(alerts.c.rule_id.in_(rule_ids), alerts.c.status.in_(OPEN))
    n = notifications.c
    late = (n.status == BUNDLED) & (n.held != "")
    reason = case((late, n.held), else_=n.reason).label("reason")
    at = case((late, func.coalesce(n.finished_at, n.created_at)), else_=n.created_at)
    silent = (n.status == SILENT).label("silent")
    question = select(n.id, n.rule_id, n.alert_id, n.group_key, n.channel, reason, n.held, at.label("at"), silent)
    recent = or_(at >= since, n.alert_id.in_(still_open))
    spoken = question.where(n.rule_id.in_(rule_ids), n.fallback_of == "", n.reason.not_in(ASIDE))
    return store.frame(spoken.where(n.alert_id != "", recent).order_by(n.id))


def unsettled(store: Store, rule_ids: Sequence[str], channels: Sequence[str]) -> pl.DataFrame:
    """Of which open incidents of these rules something has not arrived at these channels, for which others stand in.

    Columns: alert_id, channel.
    """
    n, other = notifications.c, notifications.alias("carrier")
    still_open = select(alerts.c.id).where(alerts.c.rule_id.in_(rule_ids), alerts.c.status.in_(OPEN))
    arrived = func.coalesce(other.c.status, n.status) == SENT
    told = select(n.alert_id, n.channel).select_from(notifications.outerjoin(other, other.c.id == n.bundle))
    wanted = n.rule_id.in_(rule_ids) & n.channel.in_(channels) & n.alert_id.in_(still_open)
    spoken = (n.status != SILENT) & (n.fallback_of == "") & (n.fallback != "[]")
    return store.frame(told.where(wanted, spoken, ~arrived).distinct())


def inhibiting(store: Store, also: Sequence[str] = ()) -> pl.DataFrame:
    """Open incidents of rules that may inhibit others, and of the rules with these ids.

    Columns: rule_id, version and document of the rule, group_key, labels, opened_at.
    """
    a, r = alerts.c, rules.c
    joined = alerts.join(rules, r.id == a.rule_id)
    question = select(a.rule_id, r.version, r.document, a.group_key, a.labels, a.opened_at).select_from(joined)
    wanted = or_(r.document.contains('"inhibits"'), a.rule_id.in_(also))
    return store.frame(question.where(a.status.in_(OPEN), wanted))


def inhibited(store: Store, start: datetime, end: datetime) -> pl.DataFrame:
    """Incidents that were open at any time in [start, end), of rules that now may inhibit others, oldest first.

    Columns: rule_id, document of the rule, group_key, labels, opened_at, resolved_at.
    """
    a, r = alerts.c, rules.c
    columns = (a.rule_id, r.document, a.group_key, a.labels, a.opened_at, a.resolved_at)
    joined = select(*columns).select_from(alerts.join(rules, r.id == a.rule_id))
    during = (a.opened_at < end) & or_(a.resolved_at.is_(None), a.resolved_at > start)
    return store.frame(joined.where(r.document.contains('"inhibits"'), during).order_by(a.opened_at))


def openings(store: Store, rule_ids: Sequence[str], since: datetime) -> pl.DataFrame:
    """When groups of these rules began to fire since then: rule_id, group_key, opened_at, oldest first."""
    a = alerts.c
    wanted = a.rule_id.in_(rule_ids) & (a.opened_at > since)
    return store.frame(select(a.rule_id, a.group_key, a.opened_at).where(wanted).order_by(a.opened_at))


def firings(store: Store, alert_id: str, since: datetime, until: datetime) -> pl.DataFrame:
    """Incidents of this one's rule and group opened in (since, until], oldest first: opened_at, resolved_at."""
    a, this = alerts.c, alerts.alias("this").c
    same = and_(this.id == alert_id, this.rule_id == a.rule_id, this.group_key == a.group_key)
    wanted = and_(exists().where(same), a.opened_at > since, a.opened_at <= until)
    return store.frame(select(a.opened_at, a.resolved_at).where(wanted).order_by(a.opened_at))


def by_ids(store: Store, alert_ids: Sequence[str]) -> pl.DataFrame:
    """These incidents: the columns of `alerts`."""
    return store.frame(select(alerts).where(alerts.c.id.in_(alert_ids)))


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Which incidents are asked for; empty means any. `start` and `end` bound `opened_at`, half-open.

    `channel` are those with a notice of it that is not silent, by name. `text` is looked for in names, summaries,
    labels and comments, in any case; or it is an incident's id.
    """

    status: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()
    rule: tuple[str, ...] = ()
    assignee: tuple[str, ...] = ()
    channel: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    text: str = ""


def active(
    store: Store,
    wanted: HistoryFilter = HistoryFilter(),
    *,
    before: tuple[datetime, str] | None = None,
    limit: int | None = None,
) -> pl.DataFrame:
    """Open incidents, newest first: the columns of `alerts`, and state, current_value, evaluated_at of the instance.

    `before` are the opened_at and id of the last one already seen; without a limit all.
    """
    i = alert_instances.c
    joined = alerts.outerjoin(alert_instances, (i.alert_id == alerts.c.id) & (i.rule_id == alerts.c.rule_id))
    question = select(alerts, i.state, i.value.label("current_value"), i.evaluated_at).select_from(joined)
    question = (
        _filtered(question, wanted)
        .where(alerts.c.status.in_(OPEN))
        .order_by(alerts.c.opened_at.desc(), alerts.c.id.desc())
    )
    if before is not None:
        at, seen = before
        older = or_(alerts.c.opened_at < at, and_(alerts.c.opened_at == at, alerts.c.id < seen))
        question = question.where(older)
    return store.frame(question if limit is None else question.limit(limit))


def history(store: Store, wanted: HistoryFilter, *, before: str = "", limit: int = 50) -> pl.DataFrame:
    """Incidents, newest first: the columns of `alerts`. `before` is the last id already seen (ids sort by time)."""
    question = _filtered(select(alerts), wanted).order_by(alerts.c.id.desc()).limit(limit)
    return store.frame(question.where(alerts.c.id < before) if before else question)


def _filtered(question: Select[Any], wanted: HistoryFilter) -> Select[Any]:
    for column, values in (
        (alerts.c.status, wanted.status),
        (alerts.c.severity, wanted.severity),
        (alerts.c.rule_id, wanted.rule),
        (alerts.c.assignee, wanted.assignee),
    ):
        question = question.where(column.in_(values)) if values else question
    question = question.where(_heard(wanted.channel)) if wanted.channel else question
    question = question.where(alerts.c.opened_at >= wanted.start) if wanted.start else question
    question = question.where(alerts.c.opened_at < wanted.end) if wanted.end else question
    if not wanted.text:
        return question
    searched = (alerts.c.rule_name, alerts.c.summary, alerts.c.labels, alerts.c.comment)
    found = [func.lower(column).contains(wanted.text.lower(), autoescape=True) for column in searched]
    return question.where(or_(alerts.c.id == wanted.text, _commented(wanted.text), *found))


def _heard(channels: Sequence[str]) -> Exists:
    n = notifications.c
    return exists().where(n.alert_id == alerts.c.id, n.channel.in_(channels), n.status != SILENT)


def _commented(text: str) -> Exists:
    c = alert_comments.c
    said = func.lower(c.text).contains(text.lower(), autoescape=True)
    return exists().where(c.alert_id == alerts.c.id, said)


def events(store: Store, alert_id: str) -> pl.DataFrame:
    """An incident's transitions, oldest first: the columns of `alert_events`."""
    return store.frame(select(alert_events).where(alert_events.c.alert_id == alert_id).order_by(alert_events.c.id))


def acknowledging(alert_id: str, *, by: str, at: datetime, comment: str, until: datetime | None) -> Statement:
    """Mark an open incident as taken on; a second acknowledgement renews the first."""
    values = {
        "status": ACKNOWLEDGED,
        "acknowledged_at": at,
        "first_acknowledged_at": func.coalesce(alerts.c.first_acknowledged_at, at),
        "acknowledged_by": by,
        "acknowledged_until": until,
        "comment": comment,
    }
    still_open = (alerts.c.id == alert_id) & alerts.c.status.in_(OPEN)
    return Statement(update(alerts).where(still_open).values(**values), expect=1)


def touching(alert_id: str, version: int | None) -> Statement:
    """Count that somebody acts on an incident; holds only while it is at `version` (None: at any)."""
    meant = alerts.c.id == alert_id
    meant = meant if version is None else meant & (alerts.c.version == version)
    return Statement(update(alerts).where(meant).values(version=alerts.c.version + 1), expect=1)


def assigning(alert_id: str, assignee: str) -> Statement:
    """Give an incident to somebody, '' to nobody."""
    return Statement(update(alerts).where(alerts.c.id == alert_id).values(assignee=assignee), expect=1)


def releasing(alert_id: str) -> Statement:
    """Mark an acknowledged incident as taken on by nobody any more."""
    values = {"status": FIRING, "acknowledged_at": None, "acknowledged_by": "", "acknowledged_until": None}
    taken = (alerts.c.id == alert_id) & (alerts.c.status == ACKNOWLEDGED)
    return Statement(update(alerts).where(taken).values(**values), expect=1)
