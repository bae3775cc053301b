"""How sends through channels have gone of late: what failed in a row, and since when."""

from datetime import datetime

import polars as pl
from sqlalchemy import ColumnElement, func, or_, select

from data.queries.notifications import FAILED, SENT, TEST
from data.schema import channels, delivery_attempts, notifications
from data.store import Store

#: Results that say something of a channel.
_TELLING = (SENT, "retry", FAILED)


def _told() -> ColumnElement[bool]:
    """Whether an attempt's result says something of its channel; not what asks for patience (429), nor a failed test.

    A test that arrives does: the channel is back. One that fails must hold up nothing that matters.
    """
    made = delivery_attempts.c
    tests = select(notifications.c.id).where(notifications.c.reason == TEST)
    counted = or_(made.result == SENT, made.notification_id.not_in(tests))
    return made.result.in_(_TELLING) & or_(made.status.is_(None), made.status != 429) & counted


def _since_made() -> ColumnElement[bool]:
    """Whether an attempt went through the channel that there is now, not through one of its name before."""
    made = select(func.max(channels.c.created_at)).where(channels.c.name == delivery_attempts.c.channel)
    since = made.correlate(delivery_attempts).scalar_subquery()
    return or_(since.is_(None), delivery_attempts.c.started_at >= since)


def in_a_row(store: Store, nth: int) -> pl.DataFrame:
    """The failures since the last success of every channel that has some, and since it was made.

    Columns: channel, failures, since (the first one's end), nth_at (the `nth` one's, or null), last_at.
    """
    made = delivery_attempts.c
    sent = select(made.channel, func.max(made.id).label("id")).where(made.result == SENT).group_by(made.channel)
    arrived = sent.subquery("arrived")
    place = func.row_number().over(partition_by=made.channel, order_by=made.id).label("place")
    later = (
        select(made.channel, made.finished_at, place)
        .outerjoin(arrived, arrived.c.channel == made.channel)
        .where(_told(), _since_made(), or_(arrived.c.id.is_(None), made.id > arrived.c.id))
        .subquery("later")
    )
    at = later.c.finished_at
    question = select(
        later.c.channel,
        func.count().label("failures"),
        func.min(at).label("since"),
        func.max(at).filter(later.c.place == nth).label("nth_at"),
        func.max(at).label("last_at"),
    )
    return store.frame(question.group_by(later.c.channel).order_by(later.c.channel))


def last_results(store: Store, channel: str, limit: int) -> list[tuple[str, datetime]]:
    """How the last sends through a channel ended, newest first, and when.

    Without those asked for patience (429), and those through another channel that had the name before.
    """
    made = delivery_attempts.c
    question = select(made.result, made.finished_at).where(made.channel == channel, _told(), _since_made())
    return store.frame(question.order_by(made.id.desc()).limit(limit)).rows()


def refused_since(store: Store, channel: str) -> tuple[datetime | None, int]:
    """Since when a channel's receiver has refused everything, and how many notifications; (None, 0): it has not.

    Counted from the last success, or from when the channel was last changed. No answer at all, or one that tells of
    trouble over there (5xx), is no refusal.
    """
    made = delivery_attempts.c
    changed = select(func.max(channels.c.updated_at)).where(channels.c.name == channel).scalar_subquery()
    arrived = select(func.max(made.started_at)).where(made.channel == channel, made.result == SENT).scalar_subquery()
    since = func.greatest(changed, arrived)
    refused = (made.result == FAILED) & made.status.between(300, 499) & or_(since.is_(None), made.started_at > since)
    question = select(func.min(made.started_at).label("since"), func.count(made.notification_id.distinct()).label("n"))
    found = store.frame(question.where(made.channel == channel, refused)).row(0)
    return found[0], int(found[1])
