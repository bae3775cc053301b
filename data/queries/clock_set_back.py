"""What lies ahead of a clock that was set back: taken for what has just happened, or is due so much sooner.

Times that come to lie in the past again are left as they are, as the clock shows them.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, func, literal, select, update

from data.queries.notifications import PENDING, SILENT
from data.schema import (
    alert_events,
    alert_instances,
    alerts,
    delivery_attempts,
    leases,
    notifications,
    rate_buckets,
    rule_health,
    silences,
)
from data.store import Statement

#: What lies no further ahead may be of a worker whose clock differs a little.
SKEW = timedelta(seconds=5)
#: When what evaluations and people did is said to have happened.
_HAPPENED = (
    (alerts, ("opened_at", "first_acknowledged_at", "resolved_at")),
    (alert_events, ("at",)),
    (alert_instances, ("since", "active_since", "recovering_since", "evaluated_at")),
    (rule_health, ("evaluated_at",)),
    (rate_buckets, ("at",)),
)


def evaluations(at: datetime, by: timedelta) -> list[Statement]:
    """For what evaluations and people left behind; the clock shows `at`, and was set `by` back, zero: not known."""
    n, a, s = notifications.c, alerts.c, silences.c
    silent, ahead = n.status == SILENT, at + SKEW
    acknowledged = update(alerts).where(a.acknowledged_at > ahead)
    until = func.greatest(literal(at), a.acknowledged_until - (a.acknowledged_at - literal(at)))
    begun = update(silences).where(s.created_at > ahead, s.starts_at <= s.created_at)
    return [
        _sooner(at, func.greatest(n.created_at, literal(at + by)), silent, n.held != ""),
        *_happened(notifications, ("created_at", "finished_at"), at, n.status != PENDING),
        Statement(acknowledged.values(acknowledged_until=until, acknowledged_at=at)),
        Statement(begun.values(starts_at=at, created_at=at)),
        *(each for table, names in _HAPPENED for each in _happened(table, names, at)),
    ]


def deliveries(at: datetime, by: timedelta) -> list[Statement]:
    """For what waits in the outbox and the attempts at it; `at` and `by` as in `evaluations`."""
    n, made = notifications.c, delivery_attempts.c
    last = select(func.max(made.started_at)).where(made.notification_id == n.id).scalar_subquery()
    known = func.greatest(n.created_at, func.coalesce(last, literal(at)), literal(at + by))
    pending = n.status == PENDING
    claimed = update(notifications).where(pending, n.claimed_until > at, known > at + SKEW)
    return [
        Statement(claimed.values(claimed_until=n.claimed_until - (known - literal(at)))),
        _sooner(at, known, pending),
        *_happened(notifications, ("created_at",), at, pending),
        *_happened(delivery_attempts, ("started_at", "finished_at"), at),
    ]


def shortening(lease: str, *, until: datetime) -> Statement:
    """Let a lease last no longer than that: a holder that lives prolongs it again, one that has died is not missed."""
    return Statement(update(leases).where(leases.c.name == lease, leases.c.expires_at > until).values(expires_at=until))


def _sooner(at: datetime, known: Any, *which: Any) -> Statement:
    """Let notifications be due so much sooner as the last that is `known` of the old time lies ahead."""
    n = notifications.c
    due = func.greatest(literal(at), n.due_at - (known - literal(at)))
    return Statement(update(notifications).where(*which, n.due_at > at, known > at + SKEW).values(due_at=due))


def _happened(table: Table, names: tuple[str, ...], at: datetime, *which: Any) -> list[Statement]:
    return [Statement(update(table).where(*which, table.c[name] > at + SKEW).values({name: at})) for name in names]
