"""What is dropped when it has been kept long enough: which tables, by which time, and what is held back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Delete, Table, delete, func, select

from data.config import RetentionConfig
from data.protocol import naive_utc
from data.queries.alerts import RESOLVED
from data.queries.notifications import PENDING
from data.schema import (
    alert_comments,
    alert_day_incidents,
    alert_day_notices,
    alert_days,
    alert_events,
    alerts,
    audit_log,
    delivery_attempts,
    inbox,
    latency_hour,
    latency_minute,
    notifications,
    provider_events,
    provider_limits,
    requests,
    rule_versions,
    rules,
    silences,
    usage_hour,
    usage_minute,
)
from data.store import Statement, Store

#: One transaction drops at most so much of a large table: writers wait while it runs.
_PIECE: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Part:
    """One table's rows that go with age; `at` is by when they count, `only` which of them may go at all."""

    table: Table
    at: ColumnElement[Any]
    only: ColumnElement[bool] | None = None
    large: bool = False

    def old(self, before: datetime) -> ColumnElement[bool]:
        """Which rows are older than `before`."""
        older = self.at < naive_utc(before)
        return older if self.only is None else older & self.only


def _open() -> Any:
    return select(alerts.c.id).where(alerts.c.status != RESOLVED)


def _last_closed() -> Any:
    """One row, or none: never a null, with which nothing would be `not_in`."""
    return select(alert_days.c.day).where(alert_days.c.closed).order_by(alert_days.c.day.desc()).limit(1)


#: By the setting's name; what hangs on other rows comes before them.
PARTS: Mapping[str, tuple[Part, ...]] = {
    "requests": (Part(requests, requests.c.ended_at, large=True),),
    "minutes": tuple(Part(table, table.c.time, large=True) for table in (usage_minute, latency_minute)),
    "hours": tuple(Part(table, table.c.time, large=True) for table in (usage_hour, latency_hour)),
    "incidents": (
        Part(alert_events, alert_events.c.at, alert_events.c.alert_id.not_in(_open())),
        Part(alert_comments, alert_comments.c.at, alert_comments.c.alert_id.not_in(_open())),
        Part(silences, silences.c.ends_at),
        # a deleted rule's versions say what its incidents were about for as long as there are any
        Part(
            rule_versions,
            rule_versions.c.changed_at,
            rule_versions.c.rule_id.not_in(select(rules.c.id))
            & rule_versions.c.rule_id.not_in(select(alerts.c.rule_id)),
        ),
        Part(alerts, alerts.c.resolved_at, alerts.c.status == RESOLVED),
    ),
    "deliveries": (
        # an attempt goes with its notification, whose last word is never earlier
        Part(
            delivery_attempts,
            delivery_attempts.c.started_at,
            delivery_attempts.c.notification_id.not_in(
                select(notifications.c.id).where(
                    (notifications.c.status == PENDING) | notifications.c.alert_id.in_(_open())
                )
            ),
        ),
        Part(
            notifications,
            notifications.c.finished_at,
            (notifications.c.status != PENDING) & notifications.c.alert_id.not_in(_open()),
        ),
    ),
    "messages": (Part(inbox, inbox.c.at),),
    "audit": (Part(audit_log, audit_log.c.at),),
    "events": (Part(provider_events, provider_events.c.at),),
    # the last day whose rows may be gone stays: it says from when on the rows are all there
    "statistics": tuple(
        Part(table, table.c.day, table.c.day.not_in(_last_closed()))
        for table in (alert_day_incidents, alert_day_notices, alert_days)
    ),
    "limits": (Part(provider_limits, provider_limits.c.at, large=True),),
}


@dataclass(frozen=True, slots=True)
class Cut:
    """What of one kind goes: everything before `before`. `held_back`: why that is earlier than was asked for, or ''."""

    kind: str
    before: datetime
    held_back: str = ""


def cuts(settings: RetentionConfig, now: datetime, floors: Mapping[str, tuple[datetime, str]]) -> list[Cut]:
    """What may go at `now`. `floors`: by kind, from when on something is needed all the same, and what for."""
    found = []
    for kind in PARTS:
        days = getattr(settings, f"{kind}_days")
        if not days:
            continue
        before, why = now - timedelta(days=days), ""
        if kind in floors and floors[kind][0] < before:
            before, why = floors[kind]
        found.append(Cut(kind, before, why))
    return found


def count(store: Store, cut: Cut) -> dict[str, int]:
    """How many rows of each table a cut would drop."""
    found = {}
    for part in PARTS[cut.kind]:
        question = select(func.count().label("n")).select_from(part.table).where(part.old(cut.before))
        found[part.table.name] = int(store.frame(question)["n"][0])
    return found


def drop(store: Store, cut: Cut) -> dict[str, int]:
    """Drop the rows, a day of a large table at a time; how many of each table went.

    Raises what the store raises; what went until then is gone, and the next run goes on from there.
    """
    return {
        part.table.name: sum(sum(store.transact([Statement(piece)])) for piece in _pieces(store, part, cut.before))
        for part in PARTS[cut.kind]
    }


def _pieces(store: Store, part: Part, before: datetime) -> Iterator[Delete]:
    if part.large:
        oldest = store.frame(select(func.min(part.at).label("at")).select_from(part.table))["at"][0]
        end = before if oldest is None else oldest + _PIECE
        while end < before:
            yield delete(part.table).where(part.old(end))
            end += _PIECE
    yield delete(part.table).where(part.old(before))
