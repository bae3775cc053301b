"""Whether many streams at once come through in time: `python -m tests.benchmarks.bench_streams`.

`[--streams 1000] [--seconds 60] [--every 1.0]`: so many server-sent streams of so many seconds, with an event each
so often, are held open through one proxy process, a tenth as many more directly, and a store takes the rows meanwhile.
The provider writes into each event when it writes it; the client, on the same clock, sees how late it comes. What the
proxied events are later than the direct ones, which meet the same machine, is the proxy's: it should be at most 50 ms
at p99. The proxy's memory should stay under 400 MB, and every stream should leave its row with its exact counts.

Processes: this one (the client), a provider, the store, the proxy. All streams begin within a tenth of the time.
"""

import argparse
import asyncio
import re
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil
import uvloop
from sqlalchemy import func, select

sys.path.insert(0, str(Path(__file__).parents[2]))

from data.schema import requests
from data.settings import load
from data.store import connect
from tests.benchmarks.load import percentile, post, say, started

BODY = b'{"model":"claude-sonnet-4-5","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"%s"}]}'
REQUEST = post("/v1/messages", BODY % (b"x" * 400), x_api_key="sk-bench", anthropic_version="2023-06-01")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message",'
    b'"role":"assistant","model":"claude-sonnet-4-5","content":[],"usage":{"input_tokens":10,"output_tokens":1}}}\n\n'
)
DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"%d"}}\n\n'
)
END = (
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":%d}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
)
WRITTEN = re.compile(rb'"text":"([0-9]+)"')
LAST_CHUNK = b"0\r\n\r\n"
FILES = 16_384
LATE_MS, MEMORY_MB = 50, 400


class Rhythm(msgspec.Struct, frozen=True):
    """How many events a stream has, and how many seconds lie between them."""

    events: int
    every_s: float


class Provider(asyncio.Protocol):
    """A provider's connection: whatever is asked, it streams."""

    rhythm: Rhythm

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""
        self.left = 0

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if found and len(rest) >= int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            self.buffer, self.left = b"", self.rhythm.events
            self.due = asyncio.get_running_loop().time()
            self.transport.write(HEAD + chunk(START))
            self.event()

    def event(self) -> None:
        if self.transport.is_closing():
            return
        if not self.left:
            self.transport.write(chunk(END % self.rhythm.events) + LAST_CHUNK)
            return
        self.left -= 1
        self.due += self.rhythm.every_s
        self.transport.write(chunk(DELTA % time.monotonic_ns()))
        asyncio.get_running_loop().call_at(self.due, self.event)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def serve(rhythm: Rhythm) -> None:
    Provider.rhythm = rhythm
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0, backlog=4096)
    say(f"ready http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await asyncio.Event().wait()


class Client(asyncio.Protocol):
    """One stream: how late each of its events came, in ms, and whether it came to its end."""

    def __init__(self) -> None:
        self.late_ms: list[float] = []
        self.complete = False
        self.ended = asyncio.get_running_loop().create_future()
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self._rest += data
        end = 0
        for match in WRITTEN.finditer(self._rest):
            self.late_ms.append((now - int(match[1])) / 1e6)
            end = match.end()
        self._rest = self._rest[end:]
        if self._rest.endswith(LAST_CHUNK):
            self.complete = True
            self.transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


@dataclass
class Seen:
    """What the streams of one way saw."""

    late_ms: list[float] = field(default_factory=list)
    complete: int = 0

    def line(self, name: str) -> str:
        p50, p99 = (percentile(self.late_ms, share) for share in (0.5, 0.99))
        events = f"{self.complete:>9}{len(self.late_ms):>9}"
        return f"{name:8}{events}{p50:9.2f}{p99:9.2f}{max(self.late_ms):9.2f}"


async def held(url: str, streams: int, within_s: float) -> Seen:
    """Hold the streams open to their end; they begin one after another."""
    host, port = url.removeprefix("http://").split(":")
    loop, clients = asyncio.get_running_loop(), list[Client]()
    for _ in range(streams):
        clients.append((await loop.create_connection(Client, host, int(port)))[1])
        await asyncio.sleep(within_s / streams)
    await asyncio.gather(*(client.ended for client in clients))
    return Seen([late for client in clients for late in client.late_ms], sum(client.complete for client in clients))


async def most_memory(process: psutil.Process, until: asyncio.Event) -> float:
    """The process's most MB at any of the moments it is looked at."""
    most = 0.0
    while not until.is_set():
        most = max(most, process.memory_info().rss / 1e6)
        await asyncio.sleep(0.25)
    return most


@dataclass(frozen=True)
class Run:
    """One measurement; `cpu_s` is the proxy's own time."""

    direct: Seen
    proxied: Seen
    memory_mb: float
    cpu_s: float


async def measure(direct: str, proxy: str, process: psutil.Process, streams: int, seconds: float) -> Run:
    over, before = asyncio.Event(), sum(process.cpu_times()[:2])
    memory = asyncio.gather(most_memory(process, over))
    ways = held(direct, max(streams // 10, 1), seconds / 10), held(proxy, streams, seconds / 10)
    seen = await asyncio.gather(*ways)
    over.set()
    return Run(*seen, (await memory)[0], sum(process.cpu_times()[:2]) - before)


def rows(home: Path, streams: int) -> tuple[int, int]:
    """How many rows the store has in the end, and how many of them are exact; waits for them up to 30 s."""
    exact = func.count().filter(requests.c.cost_status == "exact", requests.c.outcome == "ok")
    question = select(func.count().label("rows"), exact.label("exact")).select_from(requests)
    store, until = connect(load({"CLAUDE_PROXY_HOME": str(home)})), time.monotonic() + 30
    try:
        while (found := store.frame(question).row(0))[0] < streams and time.monotonic() < until:
            time.sleep(0.2)
    finally:
        store.close()
    return found


def judged(run: Run, found: tuple[int, int], streams: int, rhythm: Rhythm) -> Iterator[tuple[str, bool]]:
    """Each figure in words, and whether it is as it should be."""
    added = percentile(run.proxied.late_ms, 0.99) - percentile(run.direct.late_ms, 0.99)
    yield f"events later than direct ones at p99: {added:.2f} ms (aim: at most {LATE_MS})", added <= LATE_MS
    whole = run.proxied.complete == streams and len(run.proxied.late_ms) == streams * rhythm.events
    yield f"streams that came whole: {run.proxied.complete} of {streams}", whole
    yield f"memory at most: {run.memory_mb:.0f} MB (aim: under {MEMORY_MB})", run.memory_mb < MEMORY_MB
    yield f"rows: {found[0]} of {streams}, exact: {found[1]}", found == (streams, streams)
    each = run.cpu_s / (streams * rhythm.events) * 1e6
    yield f"the proxy's processor time: {run.cpu_s:.1f} s, {each:.0f} µs an event", True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between a stream's events")
    parser.add_argument("--serve", action="store_true", help="be the provider")
    arguments = parser.parse_args()
    rhythm = Rhythm(max(round(arguments.seconds / arguments.every), 1), arguments.every)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    if arguments.serve:
        uvloop.run(serve(rhythm))
        return 0
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        told = ["--seconds", str(arguments.seconds), "--every", str(arguments.every)]
        provider, _ = stack.enter_context(started("-m", "tests.benchmarks.bench_streams", "--serve", *told))
        environ = {
            "CLAUDE_PROXY_HOME": str(home),
            "CLAUDE_PROXY_PROXY_PORT": "0",
            "CLAUDE_PROXY_PROVIDERS_ANTHROPIC_BASE_URL": provider,
        }
        stack.enter_context(started("-m", "data", environ=environ))
        proxy, process = stack.enter_context(started("-m", "proxy", environ=environ))
        run = uvloop.run(measure(provider, proxy, process, arguments.streams, arguments.seconds))
        if not (run.direct.late_ms and run.proxied.late_ms):
            say("no events came")
            return 1
        figures = list(judged(run, rows(home, arguments.streams), arguments.streams, rhythm))
    say(f"{'':8}{'streams':>9}{'events':>9}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    say(run.direct.line("direct"))
    say(run.proxied.line("proxy"))
    for line, _ in figures:
        say(line)
    return 0 if all(good for _, good in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
