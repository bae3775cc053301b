"""The store over Arrow Flight, as our programs hold it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import polars as pl
import pyarrow as pa
from pyarrow import flight
from sqlalchemy import Executable

from data import protocol
from data.errors import DeadlineExceeded, QueryRejected, StoreError, StoreUnavailable
from data.protocol import Ask, Batch, Change, Changed, Stored, StoreStatus, Transaction
from data.statement import Statement, compiled

T = TypeVar("T")

DEADLINE_S = 30.0
MAX_ROWS = 1_000_000
_CONNECT_S = 2.0
_WRITE_S = 60.0
#: How much longer than the store's own time limit a caller waits before it gives the store up.
_GRACE_S = 5.0
_CHANNEL = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    # a new channel must not inherit the old one's waiting time
    ("grpc.use_local_subchannel_pool", 1),
]


class FlightStore:
    """A connection to a store. Thread-safe; it finds the store again after a restart.

    Reads and puts that lose their connection are tried once more. A transaction is not: whether it happened is unknown
    then, and `StoreUnavailable` says so.
    """

    def __init__(self, location: flight.Location, token: str) -> None:
        self._location = location
        self._headers = [(b"authorization", f"Bearer {token}".encode())]
        self._lock = threading.Lock()
        self._client: flight.FlightClient | None = None

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

    def put(self, rows: pa.Table, *, spool_id: str, first: int, last: int) -> int:
        """Store rows of `requests` that a spool numbered `first` to `last`, exactly once; the offset now stored."""
        command = protocol.encode(Batch(spool_id=spool_id, first=first, last=last))
        descriptor = flight.FlightDescriptor.for_command(command)
        return self._call(lambda client: self._put(client, descriptor, rows), again=True)

    def transact(self, statements: Sequence[Statement], *, deadline_s: float = _WRITE_S) -> list[int]:
        """Run statements, all or none; the rows each affected. Raises `ConflictError` when an `expect` fails."""
        changes = []
        for statement in statements:
            sql, values = compiled(statement.sql, statement.params)
            changes.append(Change(sql=sql, params=protocol.wire(values), expect=statement.expect))
        body = protocol.encode(Transaction(changes=changes, deadline_s=deadline_s))
        answer = self._action("transact", body, deadline_s + _GRACE_S, again=False)
        return protocol.decode(answer, Changed).rows

    def ping(self) -> StoreStatus:
        """How the store is. Raises `StoreUnavailable` within two seconds."""
        try:
            return protocol.decode(self._action("ping", b"", _CONNECT_S, again=True), StoreStatus)
        except DeadlineExceeded as error:
            raise StoreUnavailable(f"the store did not answer within {_CONNECT_S:g} s") from error

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database file."""
        self._action("checkpoint", b"", _WRITE_S, again=True)

    def shutdown(self) -> None:
        """Ask the store to end; it does so after its answer."""
        self._action("shutdown", b"", _CONNECT_S, again=False)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _frame(self, sql: str, values: Sequence[object], deadline_s: float, max_rows: int) -> pl.DataFrame:
        ask = Ask(sql=sql, params=protocol.wire(values), deadline_s=deadline_s, max_rows=max_rows)
        table = self._call(lambda client: self._get(client, ask).read_all(), again=True)
        return _polars(table)

    def _get(self, client: flight.FlightClient, ask: Ask) -> flight.FlightStreamReader:
        return client.do_get(flight.Ticket(protocol.encode(ask)), self._options(ask.deadline_s + _GRACE_S))

    def _put(self, client: flight.FlightClient, descriptor: flight.FlightDescriptor, rows: pa.Table) -> int:
        writer, answers = client.do_put(descriptor, rows.schema, self._options(_WRITE_S))
        with writer:
            writer.write_table(rows)
            writer.done_writing()
            answer = answers.read()
        if answer is None:
            raise StoreError("the store took the batch but did not acknowledge it")
        return protocol.decode(answer.to_pybytes(), Stored).offset

    def _action(self, name: str, body: bytes, timeout_s: float, *, again: bool) -> bytes:
        def act(client: flight.FlightClient) -> bytes:
            results = list(client.do_action(flight.Action(name, body), self._options(timeout_s)))
            return bytes(results[0].body.to_pybytes()) if results else b""

        return self._call(act, again=again)

    def _options(self, timeout_s: float) -> flight.FlightCallOptions:
        return flight.FlightCallOptions(timeout=timeout_s, headers=self._headers)

    def _call(self, act: Callable[[Any], T], *, again: bool) -> T:
        client = self._connected()
        try:
            return act(client)
        except (flight.FlightError, pa.ArrowException, OSError) as error:
            problem = protocol.raised(error)
            if not isinstance(problem, StoreUnavailable):
                raise problem from error
            self._forget(client)
            if not again:
                raise problem from error
        return self._call(act, again=False)

    def _connected(self) -> flight.FlightClient:
        with self._lock:
            if self._client is None:
                self._client = flight.FlightClient(self._location, generic_options=_CHANNEL)
            return self._client

    def _forget(self, client: flight.FlightClient) -> None:
        # not closed: another thread may be in a call on it; it is freed with its last user
        with self._lock:
            if self._client is client:
                self._client = None


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
