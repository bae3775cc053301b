"""Many notifications claimed, and many results written, in one transaction each."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from data import bulk
from data.queries.notifications import PENDING, UNKNOWN, AttemptRow, NotificationRow
from data.schema import delivery_attempts, notifications
from data.store import Statement, Store

Claim = tuple[NotificationRow, AttemptRow]
#: A result with what becomes of its notification: status, and when it is due.
Settled = tuple[AttemptRow, str, datetime]

_CLAIMED = "WHERE EXISTS (SELECT 1 FROM notifications n WHERE n.id = u.notification_id AND n.claimed_by = u.id)"


def claiming(claims: Sequence[Claim], *, until: datetime) -> list[Statement]:
    """Take those notifications that still are as they were read, and record an attempt at each, before any is sent.

    One that another sender took, or put off, costs no other; `held` tells which were taken.
    """
    taken = bulk.updating(notifications, [_taken(*claim, until) for claim in claims], by=["id"], exact=False)
    attempts = bulk.inserting(
        delivery_attempts, [_values(attempt) for _, attempt in claims], guard=_CLAIMED, exact=False
    )
    # a first attempt can have no other before it, and attempts are many
    repeated = [attempt for row, attempt in claims if row.attempts]
    return [taken, *([_ended(repeated)] if repeated else []), attempts]


def _taken(row: NotificationRow, attempt: AttemptRow, until: datetime) -> dict[str, Any]:
    return {
        "id": row.id,
        "was_status": PENDING,
        "was_attempts": row.attempts,
        "was_due_at": row.due_at,
        "attempts": attempt.attempt,
        "claimed_by": attempt.id,
        "claimed_until": until,
    }


def _ended(attempts: Sequence[AttemptRow]) -> Statement:
    """The attempts before these never got a result."""
    mine = notifications.c.claimed_by.in_([attempt.id for attempt in attempts])
    made = delivery_attempts.c
    lost = update(delivery_attempts).where(
        made.notification_id.in_(select(notifications.c.id).where(mine)), made.finished_at.is_(None)
    )
    at, why = attempts[0].started_at, "the sender ended before the answer was known"
    return Statement(lost.values(result=UNKNOWN, finished_at=at, error=why))


def _values(attempt: AttemptRow) -> dict[str, Any]:
    return {name: getattr(attempt, name) for name in AttemptRow.__dataclass_fields__}


def held(store: Store, claims: Sequence[Claim]) -> set[str]:
    """The ids of those attempts that are on record."""
    ids = [attempt.id for _, attempt in claims]
    question = select(delivery_attempts.c.id).where(delivery_attempts.c.id.in_(ids))
    return set(store.frame(question)["id"].to_list())


def settling(results: Sequence[Settled]) -> list[Statement]:
    """Write results and end their claims; fails as a whole (ConflictError) when one of the claims was lost."""
    names = ("id", "finished_at", "result", "status", "duration_ms", "answer", "error", "provider_id")
    attempts = [{name: getattr(attempt, name) for name in names} for attempt, _, _ in results]
    ends = [_end(*result) for result in results]
    return [bulk.updating(delivery_attempts, attempts, by=["id"]), bulk.updating(notifications, ends, by=["id"])]


def _end(attempt: AttemptRow, status: str, due_at: datetime) -> dict[str, Any]:
    return {
        "id": attempt.notification_id,
        "was_claimed_by": attempt.id,
        "status": status,
        "due_at": due_at,
        "claimed_by": "",
        "claimed_until": None,
        "finished_at": None if status == PENDING else attempt.finished_at,
    }
