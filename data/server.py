"""The store's door: Arrow Flight calls, each with a role by its token, handed to `data/service.py`."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import flight

from data import protocol
from data.errors import QueryRejected, StoreError
from data.protocol import Ask, Batch, Changed, Stored, Transaction
from data.service import Service
from data.tokens import Role, role_of

_log = logging.getLogger(__name__)
_BEARER = "Bearer "


class _Caller(flight.ServerMiddleware):  # type: ignore[misc] # pyarrow has no types
    def __init__(self, role: Role) -> None:
        super().__init__()
        self.role = role


class _Door(flight.ServerMiddlewareFactory):  # type: ignore[misc] # pyarrow has no types
    def __init__(self, tokens: dict[Role, str]) -> None:
        super().__init__()
        self._tokens = tokens

    def start_call(self, _info: flight.CallInfo, headers: Mapping[str, Sequence[str]]) -> _Caller:
        presented = next(iter(headers.get("authorization", ())), "")
        role = role_of(self._tokens, presented.removeprefix(_BEARER)) if presented.startswith(_BEARER) else None
        if role is None:
            raise flight.FlightUnauthenticatedError("a valid token is needed; it lies in the store's home folder")
        return _Caller(role)


class FlightDoor(flight.FlightServerBase):  # type: ignore[misc] # pyarrow has no types
    """Listens at one location from its construction on; several doors may share a service."""

    def __init__(self, location: flight.Location, service: Service, tokens: dict[Role, str]) -> None:
        self._service = service
        super().__init__(location, middleware={"door": _Door(tokens)})

    def do_get(self, context: flight.ServerCallContext, ticket: flight.Ticket) -> flight.FlightDataStream:
        """Verb get: the ticket is an `Ask`."""
        with _refusing():
            ask = protocol.decode(ticket.ticket, Ask)
            answer = self._service.get(ask, _role(context), context.is_cancelled)
        return flight.GeneratorStream(answer.schema, _Refusing(answer))

    def do_put(
        self,
        context: flight.ServerCallContext,
        descriptor: flight.FlightDescriptor,
        reader: flight.MetadataRecordBatchReader,
        writer: flight.FlightMetadataWriter,
    ) -> None:
        """Verb put: the descriptor's command is a `Batch`, the stream its rows."""
        with _refusing():
            _writers_only(context)
            batch = protocol.decode(descriptor.command or b"", Batch)
            offset = self._service.put(_read(reader), batch, context.is_cancelled)
        writer.write(pa.py_buffer(protocol.encode(Stored(offset))))

    def do_action(self, context: flight.ServerCallContext, action: flight.Action) -> list[bytes]:
        """Verb transact, and ping, checkpoint and shutdown."""
        with _refusing():
            if action.type == "ping":
                return [protocol.encode(self._service.status())]
            _writers_only(context)
            if action.type == "transact":
                transaction = protocol.decode(action.body.to_pybytes(), Transaction)
                return [protocol.encode(Changed(self._service.transact(transaction, context.is_cancelled)))]
            if action.type == "checkpoint":
                return [msgspec.msgpack.encode(self._service.checkpoint())]
            if action.type == "shutdown":
                self._service.stopping.set()
                return []
            raise QueryRejected(f"no action is called {action.type}")


class _Refusing(Iterator[pa.RecordBatch]):
    """An answer whose errors travel to the client with their kind."""

    def __init__(self, answer: Iterator[pa.RecordBatch]) -> None:
        self._answer = answer

    def __next__(self) -> pa.RecordBatch:
        with _refusing():
            return next(self._answer)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise protocol.refusal(error) from error
    except StopIteration:
        raise
    except flight.FlightError:
        raise
    except Exception as error:  # the boundary: a fault of ours must not read like the caller's
        _log.exception("a call failed")
        raise protocol.refusal(StoreError(f"the store failed: {error!r}; its log has the details")) from error


def _role(context: flight.ServerCallContext) -> Role:
    caller: Any = context.get_middleware("door")
    return Role(caller.role)


def _writers_only(context: flight.ServerCallContext) -> None:
    if _role(context) is not Role.WRITER:
        raise QueryRejected("this token may only read")


def _read(reader: flight.MetadataRecordBatchReader) -> pa.Table:
    try:
        return reader.read_all()
    except pa.ArrowException as error:
        raise QueryRejected(f"the rows cannot be read: {error}") from error
