"""A connection to the store, as a program holds it that only hands in records: it needs Arrow Flight alone."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

import pyarrow as pa
from pyarrow import flight

from data import protocol
from data.config import Config
from data.errors import DeadlineExceeded, StoreError, StoreUnavailable
from data.location import tcp_location, unix_location
from data.protocol import Ask, Batch, Change, Changed, Stored, StoreStatus, Transaction
from data.tokens import Role, read_token

T = TypeVar("T")

CONNECT_S = 2.0
WRITE_S = 60.0
DEADLINE_S = 30.0
MAX_ROWS = 1_000_000
#: How much longer than the store's own time limit a caller waits before it gives the store up.
GRACE_S = 5.0
_CHANNEL = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    # a new channel must not inherit the old one's waiting time
    ("grpc.use_local_subchannel_pool", 1),
]


class Connection:
    """A connection to a store. Thread-safe; it finds the store again after a restart.

    Puts that lose their connection are tried once more: they happen once however often they come.
    """

    def __init__(self, location: flight.Location, token: str) -> None:
        self._location = location
        self._headers = [(b"authorization", f"Bearer {token}".encode())]
        self._lock = threading.Lock()
        self._client: flight.FlightClient | None = None

    @classmethod
    def open(cls, config: Config, role: Role = Role.WRITER) -> Self:
        """Connect to the running store, in a role. Raises `StoreUnavailable` within two seconds."""
        store = cls(_location(config), read_token(config.home, role))
        try:
            store.ping()
        except StoreUnavailable:
            store.close()
            raise
        return store

    def put(self, rows: pa.Table, *, spool_id: str, first: int, last: int) -> int:
        """Store rows of `requests` that a spool numbered `first` to `last`, exactly once; the offset now stored.

        They come as columns (`data.records`) or encoded (`data.encoded_records`).
        """
        command = protocol.encode(Batch(spool_id=spool_id, first=first, last=last))
        descriptor = flight.FlightDescriptor.for_command(command)
        return self._call(lambda client: self._put(client, descriptor, rows), again=True)

    def rows(
        self, sql: str, params: Sequence[object] = (), *, deadline_s: float = DEADLINE_S, max_rows: int = MAX_ROWS
    ) -> list[dict[str, Any]]:
        """The answer to a SELECT with one `?` a parameter, a mapping a row; timestamps are naive UTC.

        Raises `DeadlineExceeded`, `RowLimitExceeded`, `QueryRejected`, `StoreUnavailable`.
        """
        ask = Ask(sql=sql, params=protocol.wire(params), deadline_s=deadline_s, max_rows=max_rows)
        found: list[dict[str, Any]] = self._call(
            lambda client: self._get(client, ask).read_all(), again=True
        ).to_pylist()
        return found

    def transact(self, changes: Sequence[Change], *, deadline_s: float = WRITE_S) -> list[int]:
        """Run changes, all or none; the rows each affected. Raises `ConflictError` when an `expect` fails.

        It is not tried again: whether it happened is unknown after `StoreUnavailable`.
        """
        body = protocol.encode(Transaction(changes=list(changes), deadline_s=deadline_s))
        return protocol.decode(self._action("transact", body, deadline_s + GRACE_S, again=False), Changed).rows

    def ping(self) -> StoreStatus:
        """How the store is. Raises `StoreUnavailable` within two seconds."""
        try:
            return protocol.decode(self._action("ping", b"", CONNECT_S, again=True), StoreStatus)
        except DeadlineExceeded as error:
            raise StoreUnavailable(f"the store did not answer within {CONNECT_S:g} s") from error

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _put(self, client: flight.FlightClient, descriptor: flight.FlightDescriptor, rows: pa.Table) -> int:
        writer, answers = client.do_put(descriptor, rows.schema, self._options(WRITE_S))
        with writer:
            writer.write_table(rows)
            writer.done_writing()
            answer = answers.read()
        if answer is None:
            raise StoreError("the store took the batch but did not acknowledge it")
        return protocol.decode(answer.to_pybytes(), Stored).offset

    def _get(self, client: flight.FlightClient, ask: Ask) -> flight.FlightStreamReader:
        return client.do_get(flight.Ticket(protocol.encode(ask)), self._options(ask.deadline_s + GRACE_S))

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


def _location(config: Config) -> flight.Location:
    if config.store.tcp and not config.socket.exists():
        return tcp_location(config.store.tcp)
    return unix_location(config.socket)
