"""Silences: stretches of time in which matching incidents notify nobody."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
from sqlalchemy import ColumnElement, Select, func, insert, or_, select, update

from data.schema import silences
from data.store import Statement, Store

PENDING, ACTIVE, EXPIRED = "pending", "active", "expired"


@dataclass(frozen=True, slots=True)
class SilenceRow:
    """One row of `silences`; `matchers` is JSON text."""

    id: str
    matchers: str
    starts_at: datetime
    ends_at: datetime
    author: str
    comment: str
    created_at: datetime
    version: int = 1


def page(
    store: Store, now: datetime, *, states: Collection[str] = (), text: str = "", before: str = "", limit: int = 50
) -> pl.DataFrame:
    """Silences, newest first: the columns of `silences`. `before` is the last id already seen (ids sort by time).

    `states` are those that they are in at `now`; none means any. `text` is looked for in matchers, comments and
    authors, in any case; or it is a silence's id.
    """
    question = select(silences).order_by(silences.c.id.desc()).limit(limit)
    question = question.where(or_(*(_is(state, now) for state in states))) if states else question
    question = question.where(_holds(text)) if text else question
    return store.frame(question.where(silences.c.id < before) if before else question)


def _holds(text: str) -> ColumnElement[bool]:
    searched = (silences.c.matchers, silences.c.comment, silences.c.author)
    found = [func.lower(column).contains(text.lower(), autoescape=True) for column in searched]
    return or_(silences.c.id == text, *found)


def _is(state: str, now: datetime) -> ColumnElement[bool]:
    begun, over = silences.c.starts_at <= now, silences.c.ends_at <= now
    return {PENDING: ~begun & ~over, ACTIVE: begun & ~over, EXPIRED: over}[state]


def at(store: Store, instant: datetime) -> list[SilenceRow]:
    """Silences in force at an instant."""
    return _silences(store, select(silences).where(silences.c.starts_at <= instant, silences.c.ends_at > instant))


def within(store: Store, start: datetime, end: datetime) -> list[SilenceRow]:
    """Silences in force at any time in [start, end), the oldest first."""
    during = (silences.c.starts_at < end) & (silences.c.ends_at > start)
    return _silences(store, select(silences).where(during).order_by(silences.c.id))


def by_id(store: Store, silence_id: str) -> SilenceRow | None:
    """The silence of this id."""
    found = _silences(store, select(silences).where(silences.c.id == silence_id))
    return found[0] if found else None


def _silences(store: Store, question: Select[Any]) -> list[SilenceRow]:
    return [SilenceRow(**row) for row in store.frame(question).iter_rows(named=True)]


def adding(row: SilenceRow) -> Statement:
    """Insert a silence."""
    return Statement(insert(silences).values(**{c.name: getattr(row, c.name) for c in silences.columns}), expect=1)


def replacing(row: SilenceRow) -> Statement:
    """Overwrite a silence; holds only while its stored version is the one before `row.version`."""
    names = ("matchers", "starts_at", "ends_at", "comment", "version")
    unchanged = (silences.c.id == row.id) & (silences.c.version == row.version - 1)
    return Statement(update(silences).where(unchanged).values({name: getattr(row, name) for name in names}), expect=1)
