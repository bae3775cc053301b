"""Acknowledgements with an end."""

from collections.abc import Collection
from datetime import datetime

import polars as pl
from sqlalchemy import exists, or_, select

from data.queries.alerts import ACKNOWLEDGED
from data.queries.notifications import ASIDE, PENDING, SENT
from data.schema import alerts, notifications
from data.store import Store


def run_out(store: Store, now: datetime, *, most: int = 500) -> pl.DataFrame:
    """Incidents that still count as taken on though that has ended by `now`, the oldest end first.

    Columns: id, version, acknowledged_by, acknowledged_until.
    """
    a = alerts.c
    question = select(a.id, a.version, a.acknowledged_by, a.acknowledged_until)
    ended = question.where(a.status == ACKNOWLEDGED, a.acknowledged_until <= now)
    return store.frame(ended.order_by(a.acknowledged_until, a.id).limit(most))


def untold(store: Store, channels: Collection[str], now: datetime) -> pl.DataFrame:
    """What these channels were told, or are about to be, of incidents after somebody took them on, oldest first.

    Left out is what a word of that followed. Columns: alert_id, channel, group_key, notice; acknowledged_by, comment.
    """
    n, a, after = notifications.c, alerts.c, notifications.alias("after").c
    columns = (n.alert_id, n.channel, n.group_key, n.notice, a.acknowledged_by, a.comment)
    question = select(*columns).select_from(alerts.join(notifications, n.alert_id == a.id)).order_by(n.id)
    taken_on = (a.status == ACKNOWLEDGED) & or_(a.acknowledged_until.is_(None), a.acknowledged_until > now)
    told = n.channel.in_(channels) & n.status.in_((SENT, PENDING)) & n.reason.not_in(ASIDE)
    followed = exists().where(
        after.alert_id == n.alert_id, after.channel == n.channel, after.reason.in_(ASIDE), after.id > n.id
    )
    return store.frame(question.where(taken_on, told, n.created_at > a.acknowledged_at, ~followed))
