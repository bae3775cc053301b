"""The one DuckDB instance: opened with every door shut, read through cursors, written by one transaction at a time."""

import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import pyarrow as pa

from data.config import StoreConfig
from data.deadline import Call, Ended, Watch
from data.errors import ConflictError, DeadlineExceeded, QueryRejected, StoreError, StoreUnavailable

#: Checkpoints are the maintenance thread's; this keeps DuckDB from making one inside somebody's commit.
_AUTOMATIC_CHECKPOINT = "4GB"
_FREE_AFTER_CHECKPOINT = 32 * 1024 * 1024
_log = logging.getLogger(__name__)


class Database:
    """The file, its cursors and its write lock. Thread-safe.

    `failed` is set when DuckDB has given up the instance (a fatal error): only a new process can go on then.
    """

    def __init__(self, path: Path, settings: StoreConfig) -> None:
        self.path = path
        self.wal = path.with_name(path.name + ".wal")
        self.failed = threading.Event()
        self.watch = Watch()
        self._lock = threading.Lock()
        self._closed = False
        self._connection = _open(path, settings)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own on the instance; the caller closes it."""
        return self._connection.cursor()

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A READ ONLY transaction: one snapshot, no writes."""
        with self.cursor() as cursor, self.guarded():
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            yield cursor

    @contextmanager
    def writing(
        self,
        deadline_s: float = 300.0,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """The write transaction: committed and durable when the block ends, undone when it raises.

        Raises `DeadlineExceeded` and `StoreUnavailable` as well as what the block raises.
        """
        with self._turn(deadline_s, cancelled), self.cursor() as cursor:
            with self.watch.watching(cursor, deadline_s, cancelled) as call, self.guarded(call):
                cursor.execute("BEGIN TRANSACTION")
                try:
                    yield cursor
                except BaseException:
                    _undo(cursor)
                    raise
            # no longer watched: an interrupt must not hit a commit
            with self.guarded():
                cursor.execute("COMMIT")

    def checkpoint(self) -> bool:
        """Move the write-ahead log into the file; False when the disk has too little room to do so safely.

        A checkpoint that fails half-way costs DuckDB the instance, so it is not begun without room for it.
        """
        if shutil.disk_usage(self.path.parent).free < 2 * self.wal_bytes + _FREE_AFTER_CHECKPOINT:
            _log.warning("no checkpoint: too little free disk space beside %s", self.path)
            return False
        with self._turn(300.0, lambda: False), self.cursor() as cursor, self.guarded():
            cursor.execute("CHECKPOINT")
        return True

    @property
    def wal_bytes(self) -> int:
        """The size of the write-ahead log."""
        with suppress(FileNotFoundError):
            return self.wal.stat().st_size
        return 0

    def end(self) -> None:
        """Let the running write finish, refuse the waiting ones, interrupt the reads."""
        self._closed = True  # before the lock is free: whoever waits for it must not get its turn first
        with self._lock:
            self.watch.end_all()

    def close(self) -> None:
        """Close the file, which empties the write-ahead log into it; after `end`, when no call runs any more."""
        self.end()
        self.watch.stop()
        self._connection.close()

    @contextmanager
    def guarded(self, call: Call | None = None) -> Iterator[None]:
        """DuckDB's errors in the block become the store's; a fatal one sets `failed`."""
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise self.translated(error, call) from error

    def translated(self, error: Exception, call: Call | None = None) -> StoreError:
        """The store error that a DuckDB or Arrow error stands for."""
        if isinstance(error, duckdb.FatalException | duckdb.InternalException) or "been invalidated" in str(error):
            _log.critical("the database gave up and must be opened again: %s", error)
            self.failed.set()
            return StoreUnavailable(f"the store must restart: {error}")
        if call is not None and call.ended is not None:
            return _interrupted(call.ended)
        if isinstance(error, duckdb.ConstraintException):
            return ConflictError(str(error))
        # the caller's statement is not at fault: no room, no memory, a closed connection
        if isinstance(error, duckdb.OperationalError | OSError):
            return StoreError(f"the store cannot do that now: {error}")
        return QueryRejected(str(error))

    @contextmanager
    def _turn(self, deadline_s: float, cancelled: Callable[[], bool]) -> Iterator[None]:
        if not self._lock.acquire(timeout=min(max(0.0, deadline_s), threading.TIMEOUT_MAX)):
            raise DeadlineExceeded(f"other writes took longer than {deadline_s:g} s")
        try:
            if self._closed:
                raise StoreUnavailable("the store shuts down")
            if cancelled():
                raise DeadlineExceeded("the caller gave up before it was its turn")
            yield
        finally:
            self._lock.release()


def _interrupted(why: Ended) -> StoreError:
    if why is Ended.SHUTDOWN:
        return StoreUnavailable("the store shuts down")
    return DeadlineExceeded(f"interrupted: {why}")


def _undo(cursor: duckdb.DuckDBPyConnection) -> None:
    with suppress(duckdb.Error):  # a failed commit or a fatal error has ended the transaction already
        cursor.execute("ROLLBACK")


def _open(path: Path, settings: StoreConfig) -> duckdb.DuckDBPyConnection:
    if "?" in str(path):  # DuckDB takes what follows for options, and would put the log elsewhere
        raise StoreUnavailable(f"{path} has a question mark in it; choose another home folder")
    spill = path.with_name("spill")
    spill.mkdir(mode=0o700, exist_ok=True)
    options: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": settings.memory_limit,
        "temp_directory": str(spill),
        "max_temp_directory_size": "16GB",
        "checkpoint_threshold": _AUTOMATIC_CHECKPOINT,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        # off, or a name in a query could reach this program's own variables
        "python_enable_replacements": False,
    }
    if settings.threads:
        options["threads"] = settings.threads
    try:
        connection = duckdb.connect(path, config=options)
        path.chmod(0o600)
    except duckdb.Error as error:
        raise StoreUnavailable(f"{path} cannot be opened: {error}") from error
    for setting in ("TimeZone = 'UTC'", "enable_external_access = false", "lock_configuration = true"):
        connection.execute(f"SET GLOBAL {setting}")
    return connection
