"""The app's inbox: what it shows, and what somebody has read of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import polars as pl
from sqlalchemy import ColumnElement, Select, exists, func, insert, literal, literal_column, select, update

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


_COLUMNS: Final = tuple(InboxRow.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Newest:
    """When the last message was put into the inbox and when one was last read, by the store's clock; None: never."""

    posted_at: datetime | None
    read_at: datetime | None


def posting(row: InboxRow) -> Statement:
    """Put a message into the inbox; a second one with the same id changes nothing."""
    values = [literal(getattr(row, name), inbox.c[name].type) for name in _COLUMNS]
    new = ~exists().where(inbox.c.id == row.id)
    return Statement(
        insert(inbox).from_select([*_COLUMNS, "posted_at"], select(*values, _next("posted_at")).where(new))
    )


def _next(column: str) -> ColumnElement[datetime]:
    """The present by the store's clock, which all writers share; later than any other, also where it was set back."""
    last = select(
        func.max(inbox.alias("others").c[column]) + literal_column("INTERVAL 1 MICROSECOND")
    ).scalar_subquery()
    return func.greatest(func.make_timestamp(func.epoch_us(func.now())), last)


def is_posted(store: Store, message_id: str) -> bool:
    """Whether the inbox has a message of this id."""
    return bool(store.frame(select(inbox.c.id).where(inbox.c.id == message_id)).height)


def messages(store: Store, *, unread_only: bool = False, before: str = "", limit: int = 50) -> pl.DataFrame:
    """The inbox, newest first: the fields of `InboxRow`."""
    question = _messages().order_by(inbox.c.id.desc()).limit(limit)
    question = question.where(inbox.c.read_at.is_(None)) if unread_only else question
    return store.frame(question.where(inbox.c.id < before) if before else question)


def _messages() -> Select[Any]:
    return select(*(inbox.c[name] for name in _COLUMNS))


def newest(store: Store) -> Newest:
    """When the inbox was last written to."""
    question = select(func.max(inbox.c.posted_at).label("posted_at"), func.max(inbox.c.read_at).label("read_at"))
    return Newest(**store.frame(question).row(0, named=True))


def posted(store: Store, after: datetime | None, until: datetime) -> list[InboxRow]:
    """What was put into the inbox after a time (None: ever) and until another, by the store's clock, in that order."""
    question = _messages().where(inbox.c.posted_at <= until).order_by(inbox.c.posted_at, inbox.c.id)
    question = question if after is None else question.where(inbox.c.posted_at > after)
    return [InboxRow(**row) for row in store.frame(question).iter_rows(named=True)]


def unread(store: Store) -> int:
    """How many messages nobody has read."""
    return int(store.frame(select(func.count().label("n")).select_from(inbox).where(inbox.c.read_at.is_(None)))["n"][0])


def reading(message_ids: list[str] | None, *, up_to: str = "") -> Statement:
    """Mark these messages as read; None marks all, or those up to and with the message `up_to`."""
    fresh = update(inbox).where(inbox.c.read_at.is_(None)).values(read_at=_next("read_at"))
    fresh = fresh.where(inbox.c.id <= up_to) if up_to else fresh
    return Statement(fresh if message_ids is None else fresh.where(inbox.c.id.in_(message_ids)))
