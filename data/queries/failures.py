"""How sends through channels have gone of late: what failed in a row, and since when."""

import polars as pl
from sqlalchemy import func, or_, select

from data.queries.notifications import FAILED, SENT
from data.schema import delivery_attempts
from data.store import Store

#: Results that say something of a channel, unless they ask for patience (429).
_TELLING = (SENT, "retry", FAILED)


def in_a_row(store: Store, nth: int) -> pl.DataFrame:
    """The failures since the last success of every channel that has some.

    Columns: channel, failures, since (the first one's end), nth_at (the `nth` one's, or null), last_at.
    """
    made = delivery_attempts.c
    told = made.result.in_(_TELLING) & or_(made.status.is_(None), made.status != 429)
    sent = select(made.channel, func.max(made.id).label("id")).where(made.result == SENT).group_by(made.channel)
    arrived = sent.subquery("arrived")
    place = func.row_number().over(partition_by=made.channel, order_by=made.id).label("place")
    later = (
        select(made.channel, made.finished_at, place)
        .outerjoin(arrived, arrived.c.channel == made.channel)
        .where(told, or_(arrived.c.id.is_(None), made.id > arrived.c.id))
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
