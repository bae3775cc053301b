"""What people write about incidents; append-only."""

from datetime import datetime

import polars as pl
from sqlalchemy import insert, select

from data.schema import alert_comments
from data.store import Statement, Store


def adding(comment_id: str, *, alert_id: str, at: datetime, author: str, action: str, text: str) -> Statement:
    """Append a comment; `action` is what it was written with, `comment` for one that stands alone."""
    values = {"id": comment_id, "alert_id": alert_id, "at": at, "author": author, "action": action, "text": text}
    return Statement(insert(alert_comments).values(**values), expect=1)


def of(store: Store, alert_id: str, *, after: str = "", limit: int) -> pl.DataFrame:
    """An incident's comments, oldest first: the columns of `alert_comments`; `after` is the last id already seen."""
    c = alert_comments.c
    question = select(alert_comments).where(c.alert_id == alert_id, c.id > after).order_by(c.id).limit(limit)
    return store.frame(question)
