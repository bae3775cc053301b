"""The client's side of the benchmarks: raw keep-alive connections, programs to press, and rounds compared."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

ROOT = Path(__file__).parents[2]
Targets = dict[str, tuple[str, psutil.Process]]


def say(line: str) -> None:
    """Print one line now."""
    print(line, flush=True)  # noqa: T201


def post(path: str, body: bytes, **headers: str) -> bytes:
    """One request as its bytes; `headers` have underscores for hyphens."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: application/json\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
    )
    return head.encode() + body


class Connection(asyncio.Protocol):
    """A client's keep-alive connection: one request at a time, raw bytes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.done: asyncio.Future[None] | None = None
        self.first = 0.0
        self.buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        if not self.first and b"{" in data:
            self.first = time.perf_counter()
        self.buffer += data
        if self._complete() and self.done is not None and not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_exception(exc or ConnectionError("closed"))

    def _complete(self) -> bool:
        head, found, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        if not found:
            return False
        if b"chunked" in head:
            return rest.endswith(b"0\r\n\r\n")
        return len(rest) >= int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])

    async def ask(self, request: bytes) -> tuple[float, float]:
        """Milliseconds to the first byte of the body and to the end. Raises RuntimeError where it is no 200."""
        self.buffer.clear()
        self.first = 0.0
        self.done = asyncio.get_running_loop().create_future()
        start = time.perf_counter()
        self.transport.write(request)
        await self.done
        if not self.buffer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(bytes(self.buffer[:300]))
        return (self.first - start) * 1000, (time.perf_counter() - start) * 1000


async def connections(url: str, count: int) -> list[Connection]:
    host, port = url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Connection, host, int(port)))[1] for _ in range(count)]


async def pressed(url: str, request: bytes, seconds: float, clients: int = 32) -> tuple[int, float]:
    """Ask over keep-alive connections for so long; how many requests there were, and the seconds to the last's end."""
    end = time.perf_counter() + seconds

    async def ask(connection: Connection) -> int:
        count = 0
        while time.perf_counter() < end:
            await connection.ask(request)
            count += 1
        return count

    open_ones = await connections(url, clients)
    start = time.perf_counter()
    counts = await asyncio.gather(*map(ask, open_ones))
    took = time.perf_counter() - start
    for connection in open_ones:
        connection.transport.close()
    return sum(counts), took


async def alone(url: str, request: bytes, count: int) -> list[tuple[float, float]]:
    """Latencies of one client that asks again and again."""
    connection = (await connections(url, 1))[0]
    times = [await connection.ask(request) for _ in range(count)]
    connection.transport.close()
    return times


@dataclass
class Load:
    """What one target did, round by round: requests a second, its own processor time a request, and latencies (ms)."""

    process: psutil.Process
    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    plain_ms: list[list[float]] = field(default_factory=list)
    first_ms: list[list[float]] = field(default_factory=list)

    async def press(self, url: str, request: bytes, seconds: float) -> None:
        """One round under load."""
        before = sum(self.process.cpu_times()[:2])
        count, took = await pressed(url, request, seconds)
        self.rates.append(count / took)
        self.cpu_us.append((sum(self.process.cpu_times()[:2]) - before) / count * 1e6)

    def plain(self, share: float) -> list[float]:
        """A percentile of the whole answer's time in each round."""
        return [percentile(times, share) for times in self.plain_ms]

    def first(self, share: float) -> list[float]:
        """A percentile of the first streamed byte's time in each round."""
        return [percentile(times, share) for times in self.first_ms]


@contextmanager
def started(*command: str, environ: dict[str, str] | None = None) -> Iterator[tuple[str, psutil.Process]]:
    """A process of ours and the address it says it is ready at."""
    with subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environ or {})}
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            yield line.split()[-1], psutil.Process(process.pid)
        finally:
            process.terminate()


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def compared(mine: list[float], theirs: list[float], how: Callable[[float, float], float], digits: int = 2) -> str:
    """The median of the rounds' comparisons, and how far they spread."""
    rounds = [how(a, b) for a, b in zip(mine, theirs, strict=True)]
    return f"{median(rounds):.{digits}f} (rounds {min(rounds):.{digits}f} to {max(rounds):.{digits}f})"


def ratio(mine: list[float], theirs: list[float]) -> str:
    return compared(mine, theirs, lambda a, b: a / b)


def later(mine: list[float], theirs: list[float]) -> str:
    return compared(mine, theirs, lambda a, b: a - b)
