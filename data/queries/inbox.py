"""The app's inbox: what it shows, and what somebody has read of it."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl
from sqlalchemy import exists, func, insert, literal, select, update

from data.schema import inbox
from data.store import Statement, Store


@dataclass(frozen=True, slots=True)
class InboxRow:
    """One row of `inbox`."""

    id: str
    at: datetime
    title: str
    body: str
    severity: str
    status: str
    alert_id: str = ""
    rule_id: str = ""
    read_at: datetime | None = None


def posting(row: InboxRow) -> Statement:
    """Put a message into the inbox; a second one with the same id changes nothing."""
    columns = list(inbox.columns)
    values = select(*(literal(getattr(row, column.name), column.type) for column in columns))
    new = ~exists().where(inbox.c.id == row.id)
    return Statement(insert(inbox).from_select([column.name for column in columns], values.where(new)))


def is_posted(store: Store, message_id: str) -> bool:
    """Whether the inbox has a message of this id."""
    return bool(store.frame(select(inbox.c.id).where(inbox.c.id == message_id)).height)


def messages(store: Store, *, unread_only: bool = False, before: str = "", limit: int = 50) -> pl.DataFrame:
    """The inbox, newest first: the columns of `inbox`."""
    question = select(inbox).order_by(inbox.c.id.desc()).limit(limit)
    question = question.where(inbox.c.read_at.is_(None)) if unread_only else question
    return store.frame(question.where(inbox.c.id < before) if before else question)


def unread(store: Store) -> int:
    """How many messages nobody has read."""
    return int(store.frame(select(func.count().label("n")).select_from(inbox).where(inbox.c.read_at.is_(None)))["n"][0])


def reading(message_ids: list[str] | None, at: datetime, *, up_to: str = "") -> Statement:
    """Mark these messages as read; None marks all, or those up to and with the message `up_to`."""
    fresh = update(inbox).where(inbox.c.read_at.is_(None)).values(read_at=at)
    fresh = fresh.where(inbox.c.id <= up_to) if up_to else fresh
    return Statement(fresh if message_ids is None else fresh.where(inbox.c.id.in_(message_ids)))
