"""A running proxy between scripted providers and raw clients, all on loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow as pa

from data.config import Config, ProviderConfig, ProxyConfig
from data.encoded_records import decoded_table
from data.errors import StoreUnavailable
from data.model import LedgerRecord, Protocol
from proxy.program import Proxy, running

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Seen:
    """What a scripted provider was sent: raw heads and bodies."""

    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Gateway:
    """The running proxy, and the records it has written."""

    proxy: Proxy
    records: list[LedgerRecord]

    @property
    def url(self) -> str:
        return self.proxy.url

    async def record(self) -> LedgerRecord:
        """The one record there is to be."""
        await until(lambda: len(self.records) >= 1)
        await self.proxy.forwarder.idle()
        assert len(self.records) == 1
        return self.records[0]


async def until(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.005)


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """A request's raw head and body (by its Content-Length)."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return head, await reader.readexactly(int(value))
    return head, b""


@asynccontextmanager
async def provider(*answers: bytes | Script) -> AsyncIterator[tuple[str, Seen]]:
    """A provider that gives each request the next answer (the last one again): raw bytes, or a script."""
    seen = Seen()
    waiting = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                head, body = await read_request(reader)
                seen.heads.append(head)
                seen.bodies.append(body)
                answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(reader, writer)
        finally:
            seen.gone.set()

    async with listening(serve) as address:
        yield address, seen


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server's address, each of whose connections `serve` serves until its client is gone."""
    serving: set[asyncio.Task[None] | None] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            serving.discard(asyncio.current_task())

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in serving:
            if task is not None:
                task.cancel()
        await server.wait_closed()
        await until(lambda: not serving)


class NoStore:
    """A store that is not there, and the function that connects to it."""

    def __call__(self) -> "NoStore":
        raise StoreUnavailable("no store in this test")

    def put(self, rows: pa.Table, *, spool_id: str, first: int, last: int) -> int:  # noqa: ARG002
        raise StoreUnavailable("no store in this test")

    def ping(self) -> object:
        raise StoreUnavailable("no store in this test")

    def rows(self, sql: str, params: Sequence[object] = (), *, deadline_s: float = 30.0) -> list[dict[str, Any]]:  # noqa: ARG002
        raise StoreUnavailable("no store in this test")

    def transact(self, changes: Sequence[Any], *, deadline_s: float = 60.0) -> list[int]:  # noqa: ARG002
        raise StoreUnavailable("no store in this test")

    def close(self) -> None:
        """There is nothing to let go of."""


class TakingStore(NoStore):
    """A store that takes everything."""

    def __init__(self) -> None:
        self.taken: list[dict[str, object]] = []

    def __call__(self) -> "TakingStore":
        return self

    def put(self, rows: pa.Table, *, spool_id: str, first: int, last: int) -> int:  # noqa: ARG002
        self.taken += decoded_table(rows).to_pylist()
        return last

    def ping(self) -> object:
        return "here"


@asynccontextmanager
async def gateway(
    home: Path,
    base_url: str,
    *,
    api_key: str = "",
    settings: Mapping[str, object] | None = None,
    store: NoStore | None = None,
    **config: Any,
) -> AsyncIterator[Gateway]:
    """The proxy in front of one address that serves all protocols; `config` is set besides, or instead."""
    providers = {
        "anthropic": ProviderConfig(Protocol.ANTHROPIC, base_url, api_key, "anthropic"),
        "openai": ProviderConfig(Protocol.OPENAI, base_url, api_key, "openai"),
        "gemini": ProviderConfig(Protocol.GEMINI, base_url, api_key, "gemini"),
    }
    limits = ProxyConfig(**{"port": 0, "drain_s": 5.0, **(settings or {})})  # type: ignore[arg-type]
    settled = Config(**{"home": home, "proxy": limits, "providers": providers, **config})
    async with running(settled, store or TakingStore()) as proxy:
        records: list[LedgerRecord] = []
        taken = proxy.spool.take

        def take(record: LedgerRecord) -> int:
            records.append(record)
            return taken(record)

        proxy.forwarder._means.books.ledger.take = take  # type: ignore[method-assign]
        yield Gateway(proxy, records)


def answer(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    """A provider's plain answer, as it is on the wire."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def chunked(*pieces: bytes, headers: str = "Content-Type: text/event-stream\r\n", end: bool = True) -> bytes:
    """An answer in chunks, as it is on the wire."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return (
        f"HTTP/1.1 200 OK\r\n{headers}Transfer-Encoding: chunked\r\n\r\n".encode()
        + body
        + (b"0\r\n\r\n" if end else b"")
    )


@asynccontextmanager
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that decodes nothing."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session
