"""Acknowledgements with an end."""

from datetime import datetime

import polars as pl
from sqlalchemy import select

from data.queries.alerts import ACKNOWLEDGED
from data.schema import alerts
from data.store import Store


def run_out(store: Store, now: datetime, *, most: int = 500) -> pl.DataFrame:
    """Incidents that still count as taken on though that has ended by `now`, the oldest end first.

    Columns: id, version, acknowledged_by, acknowledged_until.
    """
    a = alerts.c
    question = select(a.id, a.version, a.acknowledged_by, a.acknowledged_until)
    ended = question.where(a.status == ACKNOWLEDGED, a.acknowledged_until <= now)
    return store.frame(ended.order_by(a.acknowledged_until, a.id).limit(most))
