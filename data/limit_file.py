"""What the virtual keys of a home have used in the last minute: a small SQLite file that its proxies share.

    proxies    who serves the home, and how each of them counts
    minutes    of each key what was used, in slots of the last minute; `at` is the newest time it was counted at
    running    how many calls of a key each proxy has in flight

Times are seconds of the machine's clock that never goes back, so all of it is worth nothing after a minute, and nothing
after the machine was started again. A killed proxy leaves a whole transaction or none.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from data.errors import LimitsDamaged, LimitsUnknown
from data.one_at_a_time import immediate

Execute = Callable[..., Any]
Slots = list[tuple[int, int]]

_BUSY_S: Final = 0.25
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS proxies (proxy TEXT PRIMARY KEY, mode TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS minutes (key TEXT PRIMARY KEY, at REAL NOT NULL, used BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS running (
    key TEXT, proxy TEXT, calls INTEGER NOT NULL, PRIMARY KEY (key, proxy)) WITHOUT ROWID
"""


class Mode(StrEnum):
    """How a proxy counts what keys use."""

    WAITING = "waiting"  # not at all: another one still counts alone
    ALONE = "alone"  # in its memory
    SHARED = "shared"  # in the file


class Minute(msgspec.Struct, frozen=True, array_like=True):
    """What a key has used, slot by slot, oldest first; `at_s`: the newest time it was counted at."""

    at_s: float
    requests: Slots
    tokens: Slots


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Minute)


class LimitFile:
    """The file, open in this process. Use it from one thread."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or make it, its owner's alone. Raises LimitsUnknown, LimitsDamaged."""
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
            try:
                _prepare(connection)
            except sqlite3.Error:
                connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise _raised(path, error) from error
        return cls(path, connection)

    def close(self) -> None:
        """Let go of the file."""
        with suppress(sqlite3.Error):
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[Execute]:
        """One transaction, alone among all proxies; it gives what executes SQL. Raises LimitsUnknown."""
        execute = self._connection.execute
        try:
            with immediate(execute):
                yield execute
        except sqlite3.Error as error:
            raise _raised(self._path, error) from error

    def others(self, proxy: str) -> dict[str, Mode]:
        """How each proxy but this one counts; waits for nobody. Raises LimitsUnknown."""
        try:
            return others(self._connection.execute, proxy)
        except sqlite3.Error as error:
            raise _raised(self._path, error) from error


def others(execute: Execute, proxy: str) -> dict[str, Mode]:
    """How each proxy but this one counts, as one transaction sees it."""
    found = execute("SELECT proxy, mode FROM proxies WHERE proxy <> ?", (proxy,)).fetchall()
    return {name: Mode(mode) for name, mode in found}


def enter(execute: Execute, proxy: str, mode: Mode) -> None:
    """Write down how a proxy counts from now on."""
    execute("INSERT OR REPLACE INTO proxies VALUES (?, ?)", (proxy, mode.value))


def leave(execute: Execute, proxy: str) -> None:
    """Forget a proxy, and what it had in flight; what was used there counts on."""
    execute("DELETE FROM proxies WHERE proxy = ?", (proxy,))
    end_running(execute, proxy)


def minute(execute: Execute, key: str) -> Minute | None:
    """What a key has used; None for nothing."""
    found = execute("SELECT used FROM minutes WHERE key = ?", (key,)).fetchone()
    return None if found is None else _DECODER.decode(found[0])


def keep(execute: Execute, key: str, used: Minute) -> None:
    """Write down what a key has used."""
    execute("INSERT OR REPLACE INTO minutes VALUES (?, ?, ?)", (key, used.at_s, _ENCODER.encode(used)))


def forget(execute: Execute, first_s: float, last_s: float) -> None:
    """Forget the keys whose newest time lies outside: long ago, or before the machine was started."""
    execute("DELETE FROM minutes WHERE at < ? OR at > ?", (first_s, last_s))


def end_running(execute: Execute, proxy: str) -> None:
    """Forget what a proxy has in flight."""
    execute("DELETE FROM running WHERE proxy = ?", (proxy,))


def running_elsewhere(execute: Execute, key: str, proxy: str) -> int:
    """How many calls of a key are in flight at the other proxies."""
    asked = "SELECT COALESCE(SUM(calls), 0) FROM running WHERE key = ? AND proxy <> ?"
    return int(execute(asked, (key, proxy)).fetchone()[0])


def keep_running(execute: Execute, key: str, proxy: str, calls: int) -> None:
    """Write down how many calls of a key a proxy has in flight."""
    if calls:
        execute("INSERT OR REPLACE INTO running VALUES (?, ?, ?)", (key, proxy, calls))
    else:
        execute("DELETE FROM running WHERE key = ? AND proxy = ?", (key, proxy))


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")  # a power cut ends the minute too
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute("COMMIT")


def _raised(path: Path, error: Exception) -> LimitsUnknown:
    """A damaged file is a plain DatabaseError; what may pass (locked, disk full) is one of its subclasses."""
    kind = LimitsDamaged if type(error) is sqlite3.DatabaseError else LimitsUnknown
    return kind(f"what keys have used cannot be shared in {path}: {error}")
