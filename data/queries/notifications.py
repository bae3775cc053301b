"""The outbox and its deliveries."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
from sqlalchemy import Exists, Select, and_, exists, func, insert, literal, or_, select, union_all, update

from data.schema import delivery_attempts, notifications
from data.store import Statement, Store

PENDING, SENT, FAILED, SILENT = "pending", "sent", "failed", "silent"
#: Told by another notification, its `bundle`.
BUNDLED = "bundled"
#: Results of an attempt; `sending` until the answer is known, `unknown` if it never will be.
SENDING, UNKNOWN = "sending", "unknown"
#: Reasons of notices about what people did, which say nothing of when a channel is told next.
ASIDE = ("acknowledgement", "unacknowledged")
#: The reason of a message that tries a channel.
TEST = "test"
#: How many of a channel's due notifications are read at once.
DUE_EACH = 100
#: Reasons of notices that tell of an end.
ENDS = ("resolved", "some_resolved")
_HEARD = notifications.alias("heard").c


@dataclass(frozen=True, slots=True)
class NotificationRow:
    """One row of `notifications`; `notice` and `fallback` are JSON text."""

    id: str
    alert_id: str
    rule_id: str
    group_key: str
    channel: str
    reason: str
    status: str
    notice: str
    created_at: datetime
    due_at: datetime
    attempts: int = 0
    fallback: str = "[]"
    fallback_of: str = ""
    claimed_by: str = ""
    claimed_until: datetime | None = None
    finished_at: datetime | None = None
    bundle: str = ""
    held: str = ""


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One row of `delivery_attempts`."""

    id: str
    notification_id: str
    channel: str
    attempt: int
    started_at: datetime
    result: str = SENDING
    finished_at: datetime | None = None
    status: int | None = None
    duration_ms: float | None = None
    answer: str = ""
    error: str = ""
    provider_id: str = ""


def due(store: Store, now: datetime, *, each: int = DUE_EACH) -> list[NotificationRow]:
    """What may be sent now: the oldest `each` of every channel, so that a slow channel hides no other.

    A notice waits for earlier ones to the same channel that are about an incident it is about too: "resolved" never
    overtakes "firing".
    """
    place = func.row_number().over(partition_by=notifications.c.channel, order_by=notifications.c.id).label("place")
    free = or_(notifications.c.claimed_until.is_(None), notifications.c.claimed_until < now)
    ready = select(notifications.c.id, place).where(
        notifications.c.status == PENDING, notifications.c.due_at <= now, free, notifications.c.id.not_in(_waiting())
    )
    ranked = ready.subquery("ranked")
    # ranked by their ids alone: the whole rows are wide, and most of them are not wanted yet
    first = notifications.c.id.in_(select(ranked.c.id).where(ranked.c.place <= each))
    return _notifications(store, select(notifications).where(first).order_by(notifications.c.id))


def _waiting() -> Select[Any]:
    """Ids of pending notifications that have an earlier one before them; those of a bundle are about all its parts."""
    n, part = notifications.c, notifications.alias("part").c
    pending = select(n.id).where(n.status == PENDING)
    alone = select(n.id.label("id"), n.channel.label("channel"), n.alert_id.label("alert_id"))
    parts = select(part.bundle, part.channel, part.alert_id).where(part.bundle.in_(pending))
    about = union_all(alone.where(n.status == PENDING, n.alert_id != ""), parts).subquery("about")
    first = func.min(about.c.id).over(partition_by=(about.c.channel, about.c.alert_id)).label("first")
    line = select(about.c.id, first).subquery("line")
    return select(line.c.id).where(line.c.id != line.c.first)


def _notifications(store: Store, question: Select[Any]) -> list[NotificationRow]:
    return [NotificationRow(**row) for row in store.frame(question).iter_rows(named=True)]


def parts(store: Store, notification_id: str) -> list[NotificationRow]:
    """What a bundle carries, incident by incident."""
    wanted = select(notifications).where(notifications.c.bundle == notification_id).order_by(notifications.c.id)
    return _notifications(store, wanted)


def by_id(store: Store, notification_id: str) -> NotificationRow | None:
    """One notification."""
    rows = _notifications(store, select(notifications).where(notifications.c.id == notification_id))
    return rows[0] if rows else None


def adding(row: NotificationRow) -> Statement:
    """Put a notification into the outbox."""
    return Statement(insert(notifications).values(_values(row)), expect=1)


def claiming(row: NotificationRow, attempt: AttemptRow, *, until: datetime) -> list[Statement]:
    """Take a due notification and record the attempt, before anything is sent.

    Fails as a whole (ConflictError) when another sender took it or its last attempt differs from `row`.
    """
    free = or_(notifications.c.claimed_until.is_(None), notifications.c.claimed_until < attempt.started_at)
    mine = and_(
        notifications.c.id == row.id,
        notifications.c.status == PENDING,
        notifications.c.attempts == row.attempts,
        free,
    )
    claim = update(notifications).where(mine)
    claim = claim.values(attempts=attempt.attempt, claimed_by=attempt.id, claimed_until=until)
    broken = (delivery_attempts.c.notification_id == row.id) & delivery_attempts.c.finished_at.is_(None)
    lost = update(delivery_attempts).where(broken)
    lost = lost.values(
        result=UNKNOWN, finished_at=attempt.started_at, error="the sender ended before the answer was known"
    )
    return [
        Statement(claim, expect=1),
        Statement(lost),
        Statement(insert(delivery_attempts).values(_values(attempt)), expect=1),
    ]


def attempt_finished(attempt: AttemptRow) -> Statement:
    """Write an attempt's result."""
    names = ("finished_at", "result", "status", "duration_ms", "answer", "error", "provider_id")
    values = {name: getattr(attempt, name) for name in names}
    return Statement(update(delivery_attempts).where(delivery_attempts.c.id == attempt.id).values(**values), expect=1)


def settling(notification_id: str, attempt_id: str, *, status: str, due_at: datetime, at: datetime) -> Statement:
    """End a claim: `sent` and `failed` are final, `pending` is tried again at `due_at`. Holds only for the claimant."""
    mine = (notifications.c.id == notification_id) & (notifications.c.claimed_by == attempt_id)
    finished = None if status == PENDING else at
    values = {"status": status, "due_at": due_at, "claimed_by": "", "claimed_until": None, "finished_at": finished}
    return Statement(update(notifications).where(mine).values(**values), expect=1)


def _values(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def history(
    store: Store,
    *,
    before: str = "",
    limit: int = 50,
    status: tuple[str, ...] = (),
    channel: tuple[str, ...] = (),
    alert_id: str = "",
    rule_id: str = "",
) -> pl.DataFrame:
    """Notifications, newest first: the columns of `notifications`; `before` is the last id already seen."""
    question = select(notifications).order_by(notifications.c.id.desc()).limit(limit)
    if before:
        question = question.where(notifications.c.id < before)
    for column, values in ((notifications.c.status, status), (notifications.c.channel, channel)):
        question = question.where(column.in_(values)) if values else question
    for column, value in ((notifications.c.alert_id, alert_id), (notifications.c.rule_id, rule_id)):
        question = question.where(column == value) if value else question
    return store.frame(question)


def attempts(store: Store, notification_ids: list[str]) -> pl.DataFrame:
    """Every attempt at these notifications in order: the columns of `delivery_attempts`."""
    wanted = delivery_attempts.c.notification_id.in_(notification_ids)
    order = (delivery_attempts.c.notification_id, delivery_attempts.c.attempt)
    return store.frame(select(delivery_attempts).where(wanted).order_by(*order))


def earlier(store: Store, alert_id: str, channel: str) -> str:
    """The provider's id of the last message that reached a channel about an incident, '' for none."""
    of, made = notifications.c, delivery_attempts.c
    question = select(made.provider_id).join(notifications, of.id == made.notification_id)
    told = question.where(of.alert_id == alert_id, of.channel == channel, made.result == SENT, made.provider_id != "")
    found = store.frame(told.order_by(made.id.desc()).limit(1))["provider_id"].to_list()
    return str(found[0]) if found else ""


def postponing(channel: str, *, now: datetime, until: datetime) -> Statement:
    """Let what is due to a channel that rests, and has no other to go to, wait until then."""
    n = notifications.c
    waiting = (n.channel == channel) & (n.status == PENDING) & (n.due_at <= now) & (n.fallback == "[]")
    free = or_(n.claimed_until.is_(None), n.claimed_until < now)
    return Statement(update(notifications).where(waiting, free).values(due_at=until))


def stood_in(store: Store, alert_ids: Collection[str], *, until: str) -> list[NotificationRow]:
    """What was sent, or is about to be, about incidents in place of a channel that failed, oldest first.

    What was told in a digest counts, unless that said that the incident was over. Channels that were, or will be, told
    the status `until` of an incident are left out.
    """
    n = notifications.c
    told = n.status.in_((SENT, PENDING)) | ((n.status == BUNDLED) & n.held.not_in(ENDS))
    known = _heard(until, n.alert_id, n.channel).where(_HEARD.alert_id.in_(alert_ids))
    wanted = n.alert_id.in_(alert_ids) & (n.fallback_of != "") & told & ~known
    return _notifications(store, select(notifications).where(wanted).order_by(n.id))


def adding_once(row: NotificationRow, *, status: str) -> Statement:
    """Put a notification into the outbox unless its channel was, or will be, told this `status` of the incident."""
    n = notifications.c
    known = _heard(status, row.alert_id, row.channel)
    literals = [literal(value, n[name].type) for name, value in _values(row).items()]
    return Statement(insert(notifications).from_select(list(_values(row)), select(*literals).where(~known)))


def _heard(status: str, alert_id: Any, channel: Any) -> Exists:
    """Whether the channel was, or will be, told this status of the incident."""
    told = func.json_extract_string(_HEARD.notice, "$.status") == status
    spoken = (_HEARD.status != SILENT) | (_HEARD.held != "")
    return exists().where(_HEARD.alert_id == alert_id, _HEARD.channel == channel, spoken, told)


def reviving(row: NotificationRow, *, at: datetime) -> Statement:
    """Make a failed notification pending again; fails when it is not as it was read."""
    n = notifications.c
    same = (n.id == row.id) & (n.status == FAILED) & (n.attempts == row.attempts)
    values = {"status": PENDING, "due_at": at, "finished_at": None}
    return Statement(update(notifications).where(same).values(**values), expect=1)


def last_told(store: Store, alert_ids: list[str], channels: list[str]) -> list[NotificationRow]:
    """The newest notification of each of these incidents to each of these channels, sent or about to be."""
    n = notifications.c
    place = func.row_number().over(partition_by=(n.alert_id, n.channel), order_by=n.id.desc()).label("place")
    spoken = n.alert_id.in_(alert_ids) & n.channel.in_(channels) & n.status.in_((SENT, PENDING))
    ranked = select(notifications, place).where(spoken).subquery("ranked")
    columns = [ranked.c[column.name] for column in notifications.columns]
    return _notifications(store, select(*columns).where(ranked.c.place == 1).order_by(ranked.c.id))


def backlog(store: Store, now: datetime) -> dict[str, Any]:
    """How many notifications wait, and since when the oldest is overdue: `pending`, `oldest_due_at`."""
    question = select(func.count().label("pending"), func.min(notifications.c.due_at).label("oldest_due_at"))
    found: dict[str, Any] = store.frame(question.where(notifications.c.status == PENDING)).to_dicts()[0]
    oldest = found["oldest_due_at"]
    found["overdue_s"] = max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
    return found
