"""Conversations of models in the store, for programs that have no SQLAlchemy.

Every change can be made again: a message is added once, whoever ended a conversation first has ended it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from data.crosstalk import MessageRow, SessionRow, Status
from data.protocol import Change, naive_utc, wire

_SESSION: Final = SessionRow.__struct_fields__
_MESSAGE: Final = MessageRow.__struct_fields__
_DEADLINE_S: Final = 10.0
_RUNNING: Final = f"status = '{Status.RUNNING}'"


class CrosstalkStore(Protocol):
    """A connection that answers with plain rows and takes changes; `data.connection.Connection` is one."""

    def rows(
        self, sql: str, params: Sequence[object] = (), *, deadline_s: float = ..., max_rows: int = ...
    ) -> list[dict[str, Any]]:
        """The answer to a SELECT."""
        ...

    def transact(self, changes: Sequence[Change], *, deadline_s: float = ...) -> list[int]:
        """Run changes, all or none."""
        ...


def adding(session: SessionRow) -> Change:
    """Insert a conversation unless it is there."""
    values = [_stored(getattr(session, name)) for name in _SESSION]
    places = ", ".join("?" for _ in _SESSION)
    there = "EXISTS (SELECT 1 FROM crosstalk_sessions s WHERE s.id = ?)"
    sql = f"INSERT INTO crosstalk_sessions ({_listed(_SESSION)}) SELECT {places} WHERE NOT {there}"
    return Change(sql, wire([*values, session.id]))


def saying(message: MessageRow) -> Change:
    """Insert a message unless it is there, or its conversation is not."""
    values = [_stored(getattr(message, name)) for name in _MESSAGE]
    places = ", ".join("?" for _ in _MESSAGE)
    there = "EXISTS (SELECT 1 FROM crosstalk_messages m WHERE m.session = ? AND m.turn = ?)"
    known = "EXISTS (SELECT 1 FROM crosstalk_sessions s WHERE s.id = ?)"
    sql = f"INSERT INTO crosstalk_messages ({_listed(_MESSAGE)}) SELECT {places} WHERE NOT {there} AND {known}"
    return Change(sql, wire([*values, message.session, message.turn, message.session]))


def advancing(session: SessionRow) -> Change:
    """Write how far a conversation has come; how it ended only where nobody else has ended it before."""
    ends = ("status", "reason", "message", "ended_at")
    counts = ("turns", "input_tokens", "output_tokens", "cost_usd", "updated_at")
    ended = [f"{name} = CASE WHEN {_RUNNING} THEN ? ELSE {name} END" for name in ends]
    counted = [f"{name} = ?" for name in counts]
    values = [_stored(getattr(session, name)) for name in (*ends, *counts)]
    sql = f"UPDATE crosstalk_sessions SET {', '.join([*ended, *counted])} WHERE id = ?"
    return Change(sql, wire([*values, session.id]))


def ending(ids: Sequence[str], status: Status, reason: str, at: datetime) -> Change:
    """End those of these conversations that still run."""
    places = ", ".join("?" for _ in ids)
    sql = (
        "UPDATE crosstalk_sessions SET status = ?, reason = ?, updated_at = ?, ended_at = ? "
        f"WHERE {_RUNNING} AND id IN ({places})"
    )
    return Change(sql, wire([str(status), reason, naive_utc(at), naive_utc(at), *ids]))


def removing(session: str) -> list[Change]:
    """Delete a conversation that has ended, and what was said; fails where it runs."""
    return [
        Change(f"DELETE FROM crosstalk_sessions WHERE id = ? AND NOT {_RUNNING}", wire([session]), 1),
        Change("DELETE FROM crosstalk_messages WHERE session = ?", wire([session])),
    ]


def one(store: CrosstalkStore, session: str) -> SessionRow | None:
    """The conversation of that id."""
    found = _sessions(store, "WHERE id = ?", [session])
    return found[0] if found else None


def page(store: CrosstalkStore, *, limit: int, before: str = "", status: str = "") -> list[SessionRow]:
    """The newest conversations first, from before the one with the id `before`; of one status, or of all."""
    conditions, params = ["true"], list[object]()
    if before:
        conditions.append("id < ?")
        params.append(before)
    if status:
        conditions.append("status = ?")
        params.append(status)
    return _sessions(store, f"WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?", [*params, limit])


def messages(store: CrosstalkStore, session: str, *, after: int = 0, limit: int = 100) -> list[MessageRow]:
    """A conversation's messages behind turn `after`, in order."""
    sql = f"SELECT {_listed(_MESSAGE)} FROM crosstalk_messages WHERE session = ? AND turn > ? ORDER BY turn LIMIT ?"
    return [MessageRow.from_row(row) for row in store.rows(sql, [session, after, limit], deadline_s=_DEADLINE_S)]


def running(store: CrosstalkStore) -> list[tuple[str, str]]:
    """The id and the owner of each conversation that runs, as far as the store knows."""
    rows = store.rows(f"SELECT id, owner FROM crosstalk_sessions WHERE {_RUNNING}", deadline_s=_DEADLINE_S)
    return [(row["id"], row["owner"]) for row in rows]


def ended(store: CrosstalkStore, ids: Sequence[str]) -> dict[str, SessionRow]:
    """Those of these conversations that run no more, by id."""
    places = ", ".join("?" for _ in ids)
    return {row.id: row for row in _sessions(store, f"WHERE NOT {_RUNNING} AND id IN ({places})", [*ids])}


def _sessions(store: CrosstalkStore, rest: str, params: Sequence[object]) -> list[SessionRow]:
    sql = f"SELECT {_listed(_SESSION)} FROM crosstalk_sessions {rest}"
    return [SessionRow.from_row(row) for row in store.rows(sql, params, deadline_s=_DEADLINE_S)]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _stored(value: Any) -> Any:
    if isinstance(value, datetime):
        return naive_utc(value)
    return str(value) if isinstance(value, Status) else value
