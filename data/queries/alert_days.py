"""Figures on incidents and notifications by day: counted from the rows, and kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl
from sqlalchemy import Table, and_, delete, func, or_, select, update

from data import bulk
from data.bulk import Row
from data.queries.notifications import BUNDLED, TEST
from data.schema import alert_day_incidents, alert_day_notices, alert_days, alerts, notifications
from data.store import Statement, Store

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept: from which day on and up to which, and the last day that is closed; None for none."""

    first: datetime | None
    last: datetime | None
    closed: datetime | None


def spans(store: Store, start: datetime, end: datetime, *, ended_since: datetime) -> pl.DataFrame:
    """Incidents opened in [start, end), and earlier ones that ended since `ended_since`; the oldest first.

    Columns: id, rule_id, rule_name, severity, group_key, status, opened_at, first_acknowledged_at, resolved_at,
    flapping.
    """
    a = alerts.c
    names = ("id", "rule_id", "rule_name", "severity", "group_key", "status", "opened_at", "first_acknowledged_at")
    columns = [*(a[name] for name in names), a.resolved_at, a.flapping]
    opened = and_(a.opened_at >= start, a.opened_at < end)
    before = and_(a.opened_at < start, a.resolved_at >= ended_since)
    return store.frame(select(*columns).where(or_(opened, before)).order_by(a.opened_at, a.id))


def notices(store: Store, start: datetime, end: datetime) -> pl.DataFrame:
    """Notifications made in [start, end), counted by day: the columns of `alert_day_notices`."""
    n = notifications.c
    day = func.date_trunc("day", n.created_at).label("day")
    late = and_(n.status == BUNDLED, n.held != "").label("late")
    seconds = func.coalesce(func.sum(func.date_diff("millisecond", n.created_at, n.finished_at) / 1000.0), 0.0)
    figures = (func.count().label("n"), func.count(n.finished_at).label("finished"), seconds.label("seconds"))
    question = select(day, n.channel, n.status, n.reason, late, *figures)
    question = question.where(n.created_at >= start, n.created_at < end, n.reason != TEST)
    return store.frame(question.group_by("day", n.channel, n.status, n.reason, "late").order_by("day", n.channel))


def oldest(store: Store) -> datetime | None:
    """When the first incident opened, or the first notification was made, that there still is."""
    times = [
        store.frame(select(func.min(column).label("at")))["at"][0]
        for column in (alerts.c.opened_at, notifications.c.created_at)
    ]
    return min((at for at in times if at is not None), default=None)


def kept(store: Store) -> Kept:
    """Which days are kept."""
    d = alert_days.c
    closed = func.max(d.day).filter(d.closed).label("closed")
    row = store.frame(select(func.min(d.day).label("first"), func.max(d.day).label("last"), closed)).row(0, named=True)
    return Kept(**row)


def unfinished(store: Store) -> list[datetime]:
    """Days whose figures may still change, and can still be counted, the oldest first."""
    wanted = select(alert_days.c.day).where(alert_days.c.unfinished > 0, ~alert_days.c.closed)
    return store.frame(wanted.order_by(alert_days.c.day))["day"].to_list()


def days(store: Store, start: datetime | None, end: datetime | None, *, limit: int) -> pl.DataFrame:
    """Kept days that begin in [start, end), newest first: the columns of `alert_days`; None: from or to any."""
    d = alert_days.c
    question = select(alert_days).order_by(d.day.desc()).limit(limit)
    question = question if start is None else question.where(d.day >= start)
    return store.frame(question if end is None else question.where(d.day < end))


def kept_incidents(store: Store, start: datetime, end: datetime) -> pl.DataFrame:
    """What is kept of the days that begin in [start, end): the columns of `alert_day_incidents`."""
    return _kept(store, alert_day_incidents, start, end)


def kept_notices(store: Store, start: datetime, end: datetime) -> pl.DataFrame:
    """What is kept of the days that begin in [start, end): the columns of `alert_day_notices`."""
    return _kept(store, alert_day_notices, start, end)


def _kept(store: Store, table: Table, start: datetime, end: datetime) -> pl.DataFrame:
    return store.frame(select(table).where(table.c.day >= start, table.c.day < end).order_by(table.c.day))


def keeping(
    start: datetime, end: datetime, *, days: Sequence[Row], incidents: Sequence[Row], notices: Sequence[Row]
) -> list[Statement]:
    """Keep the figures of the days that begin in [start, end) instead of what was kept of them.

    Fails as a whole where one of them was closed meanwhile: its rows may have gone while they were counted.
    """
    d = alert_days.c
    made = [Statement(delete(alert_days).where(d.day >= start, d.day < end, d.closed), expect=0)]
    for table, rows in ((alert_days, days), (alert_day_incidents, incidents), (alert_day_notices, notices)):
        made.append(Statement(delete(table).where(table.c.day >= start, table.c.day < end)))
        made += [bulk.inserting(table, rows)] if rows else []
    return made


def closing(before: datetime) -> Statement:
    """Close the days that begin before: rows that they were counted from are about to go."""
    return Statement(update(alert_days).where(alert_days.c.day < before, ~alert_days.c.closed).values(closed=True))
