"""The counters' file: how it is opened, shared, made durable, and replaced when it is damaged."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

from data.errors import CountersDamaged, CountersError, CountersOutdated
from data.one_at_a_time import alone, immediate

Execute = Callable[..., sqlite3.Cursor]

_BUSY_S: Final = 0.25
_LOG_BYTES: Final = 2 * 1024 * 1024
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS state (generation INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS documents (
    id TEXT PRIMARY KEY, version INTEGER NOT NULL, document TEXT NOT NULL, learned INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS budgets (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, shape TEXT NOT NULL, counters INTEGER NOT NULL,
    UNIQUE (id, shape));
CREATE TABLE IF NOT EXISTS counters (budget INTEGER, value TEXT, PRIMARY KEY (budget, value)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent (
    budget INTEGER, value TEXT, bucket INTEGER, nano INTEGER NOT NULL,
    PRIMARY KEY (budget, value, bucket)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS slices (
    budget INTEGER, value TEXT, spool TEXT, nano INTEGER NOT NULL,
    PRIMARY KEY (budget, value, spool)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (
    provider TEXT, batch TEXT, made INTEGER NOT NULL, account TEXT NOT NULL,
    PRIMARY KEY (provider, batch)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holds (
    budget INTEGER, value TEXT, provider TEXT, batch TEXT, nano INTEGER NOT NULL,
    PRIMARY KEY (budget, value, provider, batch)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS folded (spool TEXT PRIMARY KEY, sequence INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS crossings (
    budget INTEGER, value TEXT, name TEXT, at INTEGER NOT NULL, used INTEGER NOT NULL, amount INTEGER NOT NULL,
    PRIMARY KEY (budget, value, name)) WITHOUT ROWID
"""


class CounterFile:
    """The file, open in this process. Use it from one thread at a time, but for `sync`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._execute: Callable[..., Any] = connection.execute
        self._inode = path.stat().st_ino

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or make it; a damaged one is kept aside as `*.corrupt`. Raises CountersError."""
        with alone(path.with_name(f"{path.name}.lock")):
            try:
                return cls(path, _connected(path))
            except CountersDamaged:
                _set_aside(path)
            return cls(path, _connected(path))

    def close(self) -> None:
        """Let go of the file."""
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA synchronous = NORMAL")  # the last to close writes all into the file
        self._connection.close()

    @property
    def replaced(self) -> bool:
        """Whether another file is at its path by now, or none."""
        try:
            return self.path.stat().st_ino != self._inode
        except OSError:
            return True

    @contextmanager
    def transaction(self, generation: int | None = None) -> Iterator[Execute]:
        """One transaction, alone among all proxies; it gives what executes SQL.

        Raises CountersOutdated where the documents are not those of `generation`, CountersError where the file cannot
        be used, CountersDamaged where it never will be.
        """
        execute = self._execute
        try:
            with immediate(execute):
                if generation is not None:
                    _check(execute, generation)
                yield execute
        except (sqlite3.Error, OverflowError) as error:
            raise _raised(self.path, error) from error

    def generation(self) -> int:
        """The number of the documents' newest change; waits for nobody. Raises CountersError."""
        try:
            return int(self._execute("SELECT generation FROM state").fetchone()[0])
        except sqlite3.Error as error:
            raise _raised(self.path, error) from error

    def sync(self) -> None:
        """Make durable what is committed; any thread may do it. Raises OSError, CountersError."""
        log = self.path.with_name(f"{self.path.name}-wal")
        with suppress(FileNotFoundError):
            descriptor = os.open(log, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                large = os.fstat(descriptor).st_size > _LOG_BYTES
            finally:
                os.close(descriptor)
            if large:
                self._empty_log()

    def _empty_log(self) -> None:
        try:
            connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
            try:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise _raised(self.path, error) from error


def _check(execute: Execute, generation: int) -> None:
    if execute("SELECT generation FROM state").fetchone()[0] != generation:
        raise CountersOutdated("the budgets have changed")


def _connected(path: Path) -> sqlite3.Connection:
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection)
        except sqlite3.Error:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise _raised(path, error) from error
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES // 2}")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    if not connection.execute("SELECT 1 FROM state").fetchone():
        connection.execute("INSERT INTO state (generation) VALUES (1)")
    connection.execute("COMMIT")


def _raised(path: Path, error: Exception) -> CountersError:
    """A damaged file is a plain DatabaseError; what may pass (locked, disk full) is one of its subclasses."""
    kind = CountersDamaged if type(error) is sqlite3.DatabaseError else CountersError
    return kind(f"the budgets' counters in {path} cannot be used: {error}")


def _set_aside(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(path.with_name(f"{path.name}.corrupt{suffix}"))
