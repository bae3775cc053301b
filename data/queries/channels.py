"""Notification channels: who could be told, and how."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, literal, select, update

from data.schema import channels
from data.store import Statement, Store


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """One row of `channels`. `config` is JSON without secrets, `secret` what is encrypted of it."""

    id: str
    name: str
    kind: str
    enabled: bool
    config: str
    secret: str
    disabled_reason: str
    created_at: datetime
    updated_at: datetime


def every(store: Store) -> list[ChannelRow]:
    """All channels by name."""
    return [ChannelRow(**row) for row in store.frame(select(channels).order_by(channels.c.name)).iter_rows(named=True)]


def by_id(store: Store, channel_id: str) -> ChannelRow | None:
    """The channel of this id."""
    return _one(store, channels.c.id == channel_id)


def by_name(store: Store, name: str) -> ChannelRow | None:
    """The channel of this name, which rules refer to."""
    return _one(store, channels.c.name == name)


def _one(store: Store, condition: Any) -> ChannelRow | None:
    rows = store.frame(select(channels).where(condition)).to_dicts()
    return ChannelRow(**rows[0]) if rows else None


def adding(row: ChannelRow) -> Statement:
    """Insert a channel unless its name is taken; changes one row or none."""
    values = {column.name: getattr(row, column.name) for column in channels.columns}
    literals = [_typed(name, value) for name, value in values.items()]
    taken = select(func.count()).where(channels.c.name == row.name).scalar_subquery()
    return Statement(insert(channels).from_select(list(values), select(*literals).where(taken == 0)), expect=1)


def _typed(name: str, value: Any) -> Any:
    return literal(value, channels.c[name].type)


def replacing(row: ChannelRow, *, read_at: datetime) -> Statement:
    """Overwrite a channel that still is as it was when read: `read_at` is its `updated_at` of then."""
    values = {
        "enabled": row.enabled,
        "config": row.config,
        "secret": row.secret,
        "disabled_reason": row.disabled_reason,
        "updated_at": row.updated_at,
    }
    same = (channels.c.id == row.id) & (channels.c.updated_at == read_at)
    return Statement(update(channels).where(same).values(**values), expect=1)


def removing(channel_id: str, *, read_at: datetime) -> Statement:
    """Delete a channel that still is as it was when read: `read_at` is its `updated_at` of then."""
    same = (channels.c.id == channel_id) & (channels.c.updated_at == read_at)
    return Statement(delete(channels).where(same), expect=1)


def disabling(name: str, *, reason: str, at: datetime) -> Statement:
    """Switch a channel off and say why."""
    changes = {"enabled": False, "disabled_reason": reason, "updated_at": at}
    return Statement(update(channels).where(channels.c.name == name).values(**changes))
