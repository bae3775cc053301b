"""What the store does for its callers, independent of how the call arrived."""

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib import metadata

import duckdb
import pyarrow as pa

from data.answers import Answer
from data.compaction import Unmerged
from data.config import StoreConfig
from data.database import Database
from data.encoded_records import ENCODED, decoded_table
from data.errors import ConflictError, QueryRejected
from data.ingest import store_batch
from data.protocol import Ask, Batch, Change, StoreStatus, Transaction, Work
from data.roles import catalog_names, check_reader, check_select
from data.tokens import Role

_PUT_DEADLINE_S = 120.0
#: One reader's query may grow the process by this many times DuckDB's own limit.
_GROWTH = 1.5
_UNITS = {"K": 2.0**10, "M": 2.0**20, "G": 2.0**30, "T": 2.0**40}
_Kind = duckdb.StatementType
_CHANGES = frozenset({_Kind.INSERT, _Kind.UPDATE, _Kind.DELETE, _Kind.MERGE_INTO})


class Service:
    """The verbs over one database. Thread-safe. `stopping` is set when a caller asks the store to end."""

    def __init__(self, database: Database, settings: StoreConfig) -> None:
        self.unmerged = Unmerged()
        self.stopping = threading.Event()
        self._database = database
        self._settings = settings
        self._started = time.monotonic()
        self._last_put_at: datetime | None = None
        self.work: dict[str, Work] = {}  # what the store does by itself, by name
        self._growth = _GROWTH * in_bytes(settings.memory_limit)
        with database.cursor() as cursor:
            self._catalog = catalog_names(cursor)

    def get(self, ask: Ask, role: Role, cancelled: Callable[[], bool]) -> Answer:
        """The answer to one SELECT; a reader's limits are cut to the configured ones."""
        if role is Role.WRITER:
            return Answer(self._database, ask, partial(check_select, sql=ask.sql), cancelled)
        limited = Ask(
            sql=ask.sql,
            params=ask.params,
            # the setting first: beside a NaN, `min` keeps what comes first
            deadline_s=min(self._settings.reader_deadline_s, ask.deadline_s),
            max_rows=min(self._settings.reader_max_rows, ask.max_rows),
        )
        check = partial(check_reader, sql=ask.sql, catalog=self._catalog)
        return Answer(self._database, limited, check, cancelled, self._growth)

    def put(self, rows: pa.Table, batch: Batch, cancelled: Callable[[], bool]) -> int:
        """Store a batch exactly once; the spool's offset, durable."""
        now = datetime.now(UTC)
        if rows.schema == ENCODED:
            rows = decoded_table(rows)
        with self._database.writing(_PUT_DEADLINE_S, cancelled) as cursor:
            offset, fresh = store_batch(cursor, rows, batch, now)
            recorded = self.unmerged.record(cursor, fresh["ended_at"])
        self.unmerged.remember(recorded)
        if fresh.num_rows:
            self._last_put_at = now
        return offset

    def transact(self, transaction: Transaction, cancelled: Callable[[], bool]) -> list[int]:
        """Run the changes, all or none; the affected rows of each. Raises `ConflictError` when an expectation fails."""
        with self._database.writing(transaction.deadline_s, cancelled) as cursor:
            return [_apply(cursor, number, change) for number, change in enumerate(transaction.changes, 1)]

    def checkpoint(self) -> bool:
        """Move the write-ahead log into the file; False when the disk is too full."""
        return self._database.checkpoint()

    def status(self) -> StoreStatus:
        """How the store is."""
        return StoreStatus(
            version=metadata.version("duckdb"),
            pid=os.getpid(),
            uptime_s=time.monotonic() - self._started,
            database_bytes=self._database.path.stat().st_size,
            wal_bytes=self._database.wal_bytes,
            last_put_at=self._last_put_at,
            work=tuple(self.work.values()),
        )


def in_bytes(size: str) -> float:
    """A size as the configuration writes it (`512MB`, `4 GiB`) in bytes."""
    number = size.rstrip("iBKMGT ")
    return float(number) * _UNITS[size[len(number) :].strip()[0]]


def _apply(cursor: duckdb.DuckDBPyConnection, number: int, change: Change) -> int:
    affected = _affected(cursor.execute(_change(cursor, number, change.sql), change.params))
    if change.expect is not None and affected != change.expect:
        raise ConflictError(
            f"statement {number} changed {affected} rows where {change.expect} were expected; nothing was changed",
        )
    return affected


def _change(cursor: duckdb.DuckDBPyConnection, number: int, sql: str) -> duckdb.Statement:
    """The one statement in `sql`. Raises `QueryRejected` for anything that could end or leave the transaction."""
    statements = cursor.extract_statements(sql)
    if len(statements) != 1 or statements[0].type not in _CHANGES:
        raise QueryRejected(f"statement {number} is not one INSERT, UPDATE, DELETE or MERGE: {sql[:80]}")
    return statements[0]


def _affected(result: duckdb.DuckDBPyConnection) -> int:
    """DuckDB answers a change with one BIGINT column called Count, and DDL with nothing."""
    names = [column[0] for column in result.description or []]
    row = result.fetchone() if names == ["Count"] else None
    return int(row[0]) if row else 0
