"""A provider that takes uploads of any size and keeps nothing of them but their hash, and clients that send such."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.proxy.gateway import Gateway, answer, listening

MB = 1024 * 1024
#: 64 kB that no compression and no repetition hides a fault in: each block differs by its number.
BLOCK = hashlib.shake_256(b"upload").digest(64 * 1024 - 8)


def blocks(size: int) -> Iterator[bytes]:
    """`size` bytes (of whole blocks), always the same ones."""
    for number in range(size // (64 * 1024)):
        yield number.to_bytes(8) + BLOCK


def hash_of(pieces: Iterable[bytes]) -> str:
    known = hashlib.sha256()
    for piece in pieces:
        known.update(piece)
    return known.hexdigest()


@dataclass
class Taken:
    """One request that came: its head, how much of its body, and whether the other side hung up."""

    head: bytes = b""
    size: int = 0
    known: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    whole: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def hash(self) -> str:
        return self.known.hexdigest()

    def header(self, name: str) -> str | None:
        for line in self.head.decode().split("\r\n"):
            said, _, value = line.partition(":")
            if said.lower() == name:
                return value.strip()
        return None

    async def take(self, reader: asyncio.StreamReader, most: float = float("inf")) -> None:
        """Read the body to its end, or until `most` bytes of it were here."""
        if self.header("transfer-encoding") == "chunked":
            while self.size < most:
                size = int(await reader.readuntil(b"\r\n"), 16)
                self._add(await reader.readexactly(size))
                await reader.readexactly(2)
                if not size:
                    self.whole = True
                    return
        length = int(self.header("content-length") or 0)
        while self.size < min(length, most):
            self._add(await reader.read(min(length - self.size, MB)))
            if reader.at_eof():
                raise asyncio.IncompleteReadError(b"", length)
        self.whole = self.size == length

    def _add(self, piece: bytes) -> None:
        self.size += len(piece)
        self.known.update(piece)


Serve = Callable[[Taken, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
DONE = answer(b'{"id":"file_1"}')


async def takes_all(taken: Taken, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await taken.take(reader)
    writer.write(DONE)
    await writer.drain()


@asynccontextmanager
async def sink(serve: Serve = takes_all) -> AsyncIterator[tuple[str, list[Taken]]]:
    """Its address, and what it was sent."""
    came: list[Taken] = []

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken = Taken()
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                taken = Taken(head)
                came.append(taken)
                await serve(taken, reader, writer)
        finally:
            taken.gone.set()

    async with listening(one) as address:
        yield address, came


class Sender:
    """A client on a connection of its own, which sends what it is told, when it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def status(self) -> int:
        """The status of the answer, whose head is read."""
        return int((await self.head()).split()[1])

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 60)

    async def rest(self) -> bytes:
        """Whatever else comes until the connection ends."""
        return await asyncio.wait_for(self.reader.read(), 60)


@asynccontextmanager
async def sender(
    proxy: Gateway, *headers: str, length: int | None = None, path: str = "/v1/files", method: str = "POST"
) -> AsyncIterator[Sender]:
    """A client that has sent a head; without a `length` the body is to come in chunks."""
    host, port = proxy.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = (
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        framing,
        "Content-Type: application/octet-stream",
        *headers,
    )
    try:
        client = Sender(reader, writer)
        await client.send("\r\n".join((*lines, "", "")).encode())
        yield client
    finally:
        writer.close()
