"""A query's answer on its way to the client: batches as DuckDB produces them, never the whole of it at once."""

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import duckdb
import pyarrow as pa

from data.database import Database
from data.errors import QueryRejected, RowLimitExceeded
from data.protocol import Ask

_BATCH_ROWS = 16_384
_HUGEINT = pa.decimal128(38, 0)


class Answer(Iterator[pa.RecordBatch]):
    """The record batches of one SELECT, within its deadline and row limit.

    Sums of integers come as 64-bit integers (DuckDB's are 128-bit), enumerations as text. The cursor is closed at the
    end, at an error, and when the stream is dropped because its client went away.
    """

    _open = False

    def __init__(
        self,
        database: Database,
        ask: Ask,
        check: Callable[[duckdb.DuckDBPyConnection], None],
        cancelled: Callable[[], bool] = lambda: False,
        growth: float = math.inf,
    ) -> None:
        self._database = database
        self._left = self._limit = ask.max_rows
        self._reader: Any = None
        self._cursor = database.cursor()
        self._call = database.watch.start(self._cursor, ask.deadline_s, cancelled, growth)
        self._open = True
        try:
            with database.guarded(self._call):
                check(self._cursor)
                self._cursor.execute("BEGIN TRANSACTION READ ONLY")
                self._reader = self._cursor.execute(ask.sql, ask.params).to_arrow_reader(_BATCH_ROWS)
        except BaseException:
            self.close()
            raise
        self.schema = _narrowed(self._reader.schema)

    def __next__(self) -> pa.RecordBatch:
        try:
            with self._database.guarded(self._call):
                return self._next()
        except BaseException:
            self.close()
            raise

    def _next(self) -> pa.RecordBatch:
        batch = self._reader.read_next_batch()
        if self._call.ended is not None:
            raise pa.ArrowCancelled("interrupted between two batches")
        self._left -= batch.num_rows
        if self._left < 0:
            raise RowLimitExceeded(f"the answer has more than {self._limit:,} rows; narrow the question or add a LIMIT")
        return batch if batch.schema.equals(self.schema) else _cast(batch, self.schema)

    def close(self) -> None:
        """End the query and give its cursor back. Doing so twice is harmless."""
        if not self._open:
            return
        self._open = False
        self._reader = None
        self._database.watch.finish(self._call)
        with suppress(duckdb.Error):
            self._cursor.close()

    def __del__(self) -> None:
        self.close()


def _narrowed(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_type(_narrow(field.type)) for field in schema])


def _narrow(kind: pa.DataType) -> pa.DataType:
    if kind == _HUGEINT:
        return pa.int64()
    # Flight's generator streams cannot carry dictionaries
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    try:
        return batch.cast(schema)
    except pa.ArrowInvalid as error:
        raise QueryRejected(f"an integer of the answer exceeds 64 bits: {error}") from error
