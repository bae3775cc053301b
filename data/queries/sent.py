"""What was sent over channels, and when."""

from datetime import datetime

import polars as pl
from sqlalchemy import and_, exists, func, or_, select

from data.queries.notifications import ASIDE, FAILED, PENDING, SENT, TEST
from data.schema import notifications, rules
from data.store import Store

_MOST_ROWS = 5_000_000


def by_others(store: Store, rule_id: str, name: str, start: datetime, end: datetime) -> pl.DataFrame:
    """What took from channels' rate limits in [start, end) besides a rule's own notices, oldest first.

    Columns: at, channel, notices. The rule is the one of the id, or of the name; a digest is its own where it told of
    nothing else.
    """
    n, part = notifications.c, notifications.alias("part").c
    own = select(rules.c.id).where(or_(rules.c.id == rule_id, rules.c.name == name))
    mine = exists().where(and_(part.bundle == n.id, part.rule_id.in_(own)))
    others = exists().where(and_(part.bundle == n.id, part.rule_id.not_in(own)))
    took = n.status.in_((PENDING, SENT, FAILED)) & n.reason.not_in((*ASIDE, TEST))
    within = and_(n.created_at >= start, n.created_at < end)
    at = n.created_at.label("at")
    question = select(at, n.channel, func.count().label("notices")).where(took, within, n.rule_id.not_in(own))
    counted = question.where(or_(~mine, others)).group_by(at, n.channel).order_by(at, n.channel)
    return store.frame(counted, max_rows=_MOST_ROWS)
