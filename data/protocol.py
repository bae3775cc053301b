"""What the store and its clients say to each other: msgpack inside Arrow Flight's calls.

get       do_get, the ticket is an `Ask`; the answer is a stream of record batches
put       do_put, the command is a `Batch`, the stream its rows (columns, or encoded); the answer is a `Stored`
transact  do_action "transact", the body is a `Transaction`; the answer is a `Changed`
ping, checkpoint, shutdown   do_action without a body; ping answers a `StoreStatus`

A call that fails carries a `Failure` in the error's `extra_info`.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from pyarrow import flight

from data import errors

T = TypeVar("T", bound=msgspec.Struct)

TIMESTAMP, DECIMAL, DATE = 1, 2, 3
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the store's timestamps are naive UTC
_MICROSECOND = timedelta(microseconds=1)
_FAILURES: dict[str, type[errors.StoreError]] = {
    kind.__name__: kind
    for kind in (
        errors.StoreError,
        errors.StoreUnavailable,
        errors.DeadlineExceeded,
        errors.RowLimitExceeded,
        errors.QueryRejected,
        errors.ConflictError,
    )
}


class Ask(msgspec.Struct, frozen=True):
    """One SELECT; it is interrupted after `deadline_s` and fails beyond `max_rows`."""

    sql: str
    params: list[Any]
    deadline_s: float
    max_rows: int


class Batch(msgspec.Struct, frozen=True):
    """Rows of `requests` that a spool numbered `first` to `last`, one number a row, without a hole."""

    spool_id: str
    first: int
    last: int


class Stored(msgspec.Struct, frozen=True):
    """The last number of the spool whose row is stored; 0 when none is."""

    offset: int


class Change(msgspec.Struct, frozen=True):
    """One statement of a transaction, and how many rows it must affect (None: any number)."""

    sql: str
    params: list[Any]
    expect: int | None = None


class Transaction(msgspec.Struct, frozen=True):
    """Statements that happen all or not at all."""

    changes: list[Change]
    deadline_s: float


class Changed(msgspec.Struct, frozen=True):
    """Affected rows, one number a statement."""

    rows: list[int]


class Work(msgspec.Struct, frozen=True):
    """Something the store does by itself every so often, and how it last went; `started_at` None: not yet.

    `running_since`: when the run began that goes on; None while none does.
    """

    name: str
    title: str
    every_s: float
    started_at: datetime | None = None
    duration_ms: float = 0.0
    ok: bool = True
    result: str = ""
    runs: int = 0
    failures: int = 0
    running_since: datetime | None = None


class StoreStatus(msgspec.Struct, frozen=True):
    """How the store is: sizes in bytes; `last_put_at` is None until a batch came since its start."""

    version: str
    pid: int
    uptime_s: float
    database_bytes: int
    wal_bytes: int
    last_put_at: datetime | None
    work: tuple[Work, ...] = ()


class Failure(msgspec.Struct, frozen=True):
    """Which error of `data/errors.py`, and its message."""

    kind: str
    message: str


def encode(message: msgspec.Struct) -> bytes:
    """A message as bytes. Parameters must have gone through `wire` before."""
    return msgspec.msgpack.encode(message)


def decode(body: bytes, kind: type[T]) -> T:
    """The message in `body`. Raises `QueryRejected` when it is none of that kind."""
    try:
        return msgspec.msgpack.decode(body, type=kind, ext_hook=_from_extension)
    except (msgspec.DecodeError, ValueError, ArithmeticError, OverflowError) as error:
        raise errors.QueryRejected(f"not a valid {kind.__name__} message: {error}") from error


def wire(values: Iterable[object]) -> list[Any]:
    """Parameters in their wire form: datetimes as naive UTC microseconds, decimals exact, sequences as lists."""
    return [_wire(value) for value in values]


def naive_utc(at: datetime) -> datetime:
    """`at` as the store keeps it. A naive time is UTC already."""
    return at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)


def refusal(error: errors.StoreError) -> flight.FlightServerError:
    """A store error as the server raises it."""
    failure = Failure(kind=type(error).__name__, message=str(error))
    return flight.FlightServerError(failure.message or failure.kind, encode(failure))


def raised(error: Exception) -> errors.StoreError:
    """The store error a failed call stands for, on the client's side."""
    if body := getattr(error, "extra_info", b""):
        failure = msgspec.msgpack.decode(body, type=Failure)
        return _FAILURES.get(failure.kind, errors.StoreError)(failure.message)
    if isinstance(error, flight.FlightTimedOutError):
        return errors.DeadlineExceeded("the store did not answer within the time limit")
    if isinstance(error, flight.FlightUnauthenticatedError):
        return errors.StoreUnavailable("the store refused the token; it belongs to another store or was replaced")
    if isinstance(error, flight.FlightUnavailableError | flight.FlightCancelledError):
        return errors.StoreUnavailable(f"no store answers: {_short(error)}")
    return errors.StoreError(_short(error))


def _short(error: Exception) -> str:
    return str(error).split(". gRPC client debug context", 1)[0].split(" Detail: ", 1)[0]


def _wire(value: object) -> Any:
    if isinstance(value, datetime):
        microseconds = (naive_utc(value) - _EPOCH) // _MICROSECOND
        return msgspec.msgpack.Ext(TIMESTAMP, microseconds.to_bytes(8, "big", signed=True))
    if isinstance(value, date):
        return msgspec.msgpack.Ext(DATE, value.isoformat().encode())
    if isinstance(value, Decimal):
        return msgspec.msgpack.Ext(DECIMAL, str(value).encode())
    if isinstance(value, list | tuple | set | frozenset):
        return [_wire(item) for item in value]
    return value


def _from_extension(code: int, data: memoryview) -> object:
    if code == TIMESTAMP:
        return _EPOCH + timedelta(microseconds=int.from_bytes(data, "big", signed=True))
    if code == DECIMAL:
        return Decimal(str(data, "ascii"))
    if code == DATE:
        return date.fromisoformat(str(data, "ascii"))
    raise ValueError(f"unknown extension type {code}")
