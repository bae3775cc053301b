"""The store over Arrow Flight, as programs hold it that ask questions: in SQLAlchemy, answered in Polars."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import polars as pl
import pyarrow as pa
from pyarrow import flight
from sqlalchemy import Executable

from data import protocol
from data.connection import CONNECT_S, DEADLINE_S, MAX_ROWS, WRITE_S, Connection
from data.errors import QueryRejected
from data.protocol import Ask, Change
from data.statement import Statement, compiled

T = TypeVar("T")


class FlightStore(Connection):
    """A connection that also asks and changes.

    Reads and puts that lose their connection are tried once more. A transaction is not: whether it happened is unknown
    then, and `StoreUnavailable` says so.
    """

    def frame(
        self,
        question: Executable,
        *,
        deadline_s: float = DEADLINE_S,
        max_rows: int = MAX_ROWS,
    ) -> pl.DataFrame:
        """The answer to a SELECT; timestamps are aware UTC.

        Raises `DeadlineExceeded`, `RowLimitExceeded` (never a truncated answer), `QueryRejected`, `StoreUnavailable`.
        """
        return self._frame(*compiled(question), deadline_s, max_rows)

    def sql(
        self,
        text: str,
        params: Sequence[object] = (),
        *,
        deadline_s: float = DEADLINE_S,
        max_rows: int = MAX_ROWS,
    ) -> pl.DataFrame:
        """As `frame`, for SQL text with one `?` a parameter."""
        return self._frame(text, list(params), deadline_s, max_rows)

    def batches(
        self,
        question: Executable | str,
        params: Sequence[object] = (),
        *,
        deadline_s: float = DEADLINE_S,
        max_rows: int = MAX_ROWS,
    ) -> Iterator[pa.RecordBatch]:
        """The answer as it arrives, for results larger than memory. An error may come after the first batches."""
        sql, values = compiled(question, params)
        ask = Ask(sql=sql, params=protocol.wire(values), deadline_s=deadline_s, max_rows=max_rows)
        reader = self._call(lambda client: self._get(client, ask), again=True)
        try:
            while True:
                try:
                    chunk = reader.read_chunk()
                except StopIteration:
                    return
                except (flight.FlightError, pa.ArrowException, OSError) as error:
                    raise protocol.raised(error) from error
                yield _with_utc(chunk.data)
        finally:
            reader.cancel()

    def transact(self, statements: Sequence[Statement | Change], *, deadline_s: float = WRITE_S) -> list[int]:
        """Run statements, all or none; the rows each affected. Raises `ConflictError` when an `expect` fails."""
        changes = []
        for statement in statements:
            if isinstance(statement, Change):
                changes.append(statement)
                continue
            sql, values = compiled(statement.sql, statement.params)
            changes.append(Change(sql=sql, params=protocol.wire(values), expect=statement.expect))
        return super().transact(changes, deadline_s=deadline_s)

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database file."""
        self._action("checkpoint", b"", WRITE_S, again=True)

    def shutdown(self) -> None:
        """Ask the store to end; it does so after its answer."""
        self._action("shutdown", b"", CONNECT_S, again=False)

    def _frame(self, sql: str, values: Sequence[object], deadline_s: float, max_rows: int) -> pl.DataFrame:
        ask = Ask(sql=sql, params=protocol.wire(values), deadline_s=deadline_s, max_rows=max_rows)
        table = self._call(lambda client: self._get(client, ask).read_all(), again=True)
        return _polars(table)


def _with_utc(rows: T) -> T:
    data: Any = rows
    schema = pa.schema([_utc_field(field) for field in data.schema])
    return rows if schema == data.schema else data.cast(schema)


def _utc_field(field: pa.Field) -> pa.Field:
    return field.with_type(pa.timestamp(field.type.unit, "UTC")) if pa.types.is_timestamp(field.type) else field


def _polars(table: pa.Table) -> pl.DataFrame:
    try:
        return pl.DataFrame(pl.from_arrow(_with_utc(table)))
    except (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError) as error:
        raise QueryRejected(f"a column of the answer has a type that has no frame form; cast it: {error}") from error
