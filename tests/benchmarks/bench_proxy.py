"""What the proxy costs, against a bare aiohttp pass-through on the same machine in the same run.

`python tests/benchmarks/bench_proxy.py [--rounds 5] [--seconds 3] [--store] [--requests 100000]`

Processes: this one (the client), a provider stub, a bare pass-through, the proxy; all on uvloop with one worker.
Each round presses the three targets one after the other, and then asks them in turn, a few requests each, so that
the machine's other work meets all of them. Every figure is the median of the rounds' own figures.
`--store` runs a store too, which takes the records meanwhile. `--requests N` sends N more requests through the
proxy and says what became of its memory.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import aiohttp
import psutil
import uvloop
from aiohttp import web

TURNS = 10
ROOT = Path(__file__).parents[2]
BODY = b'{"model":"claude-sonnet-4-5","max_tokens":64,"messages":[{"role":"user","content":"%s"}]%s}'
PLAIN = BODY % (b"x" * 400, b"")
STREAMED = BODY % (b"x" * 400, b',"stream":true')
USAGE = b'"usage":{"input_tokens":10,"output_tokens":5}'
MESSAGE = b'{"id":"msg_1","type":"message","model":"claude-sonnet-4-5","stop_reason":"end_turn","content":"%s",%s}'
ANSWER = MESSAGE % (b"x" * (1024 - len(MESSAGE % (b"", USAGE))), USAGE)
DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"hello"}}\n\n'
)
EVENTS = [
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","model":"claude-sonnet-4-5",%s}}\n\n'
    % USAGE,
    *[DELTA] * 20,
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},%s}\n\n' % USAGE,
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
]
HEAD = b"HTTP/1.1 200 OK\r\nServer: stub\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"


class Stub(asyncio.Protocol):
    """The provider: answers as fast as it can, from prepared bytes."""

    PLAIN = HEAD + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)
    STREAM = HEAD + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    CHUNKS = tuple(b"%x\r\n%s\r\n" % (len(event), event) for event in EVENTS)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(rest) < length:
            return
        self.buffer = b""
        if b'"stream":true' in rest:
            self.transport.write(self.STREAM + self.CHUNKS[0])
            asyncio.get_running_loop().call_later(0.002, self.transport.write, b"".join(self.CHUNKS[1:]) + b"0\r\n\r\n")
        else:
            self.transport.write(self.PLAIN)


async def serve_stub() -> None:
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0)
    say(f"ready http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await asyncio.Event().wait()


async def serve_bare(upstream: str) -> None:
    """What anybody would write: read, send on, stream back."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

        async def handler(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            headers = {k: v for k, v in request.headers.items() if k not in {"Host", "Content-Length"}}
            async with session.post(upstream + request.path_qs, data=body, headers=headers) as got:
                if got.content_type != "text/event-stream":
                    return web.Response(body=await got.read(), status=got.status, content_type=got.content_type)
                answer = web.StreamResponse(status=got.status, headers={"Content-Type": "text/event-stream"})
                await answer.prepare(request)
                async for chunk in got.content.iter_any():
                    await answer.write(chunk)
                await answer.write_eof()
                return answer

        app = web.Application()
        app.router.add_post("/v1/messages", handler)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        say(f"ready http://127.0.0.1:{runner.addresses[0][1]}")
        await asyncio.Event().wait()


@dataclass
class Load:
    """What one target did, round by round: requests a second, its own processor time a request, and latencies (ms)."""

    process: psutil.Process
    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    plain_ms: list[list[float]] = field(default_factory=list)
    first_ms: list[list[float]] = field(default_factory=list)

    def plain(self, share: float) -> list[float]:
        """A percentile of the whole answer's time in each round."""
        return [percentile(times, share) for times in self.plain_ms]

    def first(self, share: float) -> list[float]:
        """A percentile of the first streamed byte's time in each round."""
        return [percentile(times, share) for times in self.first_ms]


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
        """Milliseconds to the first byte of the body and to the end."""
        self.buffer.clear()
        self.first = 0.0
        self.done = asyncio.get_running_loop().create_future()
        start = time.perf_counter()
        self.transport.write(request)
        await self.done
        if not self.buffer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(bytes(self.buffer[:300]))
        return (self.first - start) * 1000, (time.perf_counter() - start) * 1000


def request_of(body: bytes) -> bytes:
    head = (
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nx-api-key: sk-bench\r\nanthropic-version: 2023-06-01\r\n"
        b"User-Agent: bench\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
    )
    return head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


async def connections(url: str, count: int) -> list[Connection]:
    host, port = url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Connection, host, int(port)))[1] for _ in range(count)]


async def rate(url: str, seconds: float, clients: int = 32) -> float:
    """Requests a second over keep-alive connections."""
    end = time.perf_counter() + seconds

    async def ask(connection: Connection) -> int:
        count = 0
        while time.perf_counter() < end:
            await connection.ask(request_of(PLAIN))
            count += 1
        return count

    open_ones = await connections(url, clients)
    start = time.perf_counter()
    counts = await asyncio.gather(*map(ask, open_ones))
    took = time.perf_counter() - start
    for connection in open_ones:
        connection.transport.close()
    return sum(counts) / took


async def alone(url: str, body: bytes, count: int) -> list[tuple[float, float]]:
    """Latencies of one client that asks again and again."""
    connection = (await connections(url, 1))[0]
    times = [await connection.ask(request_of(body)) for _ in range(count)]
    connection.transport.close()
    return times


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


Targets = dict[str, tuple[str, psutil.Process]]


async def press(url: str, load: Load, seconds: float) -> None:
    """One round under load."""
    before = sum(load.process.cpu_times()[:2])
    load.rates.append(await rate(url, seconds))
    load.cpu_us.append((sum(load.process.cpu_times()[:2]) - before) / (load.rates[-1] * seconds) * 1e6)


async def take_turns(targets: Targets, loads: dict[str, Load]) -> None:
    """One round of lone requests: a few to each target, again and again."""
    for load in loads.values():
        load.plain_ms.append([])
        load.first_ms.append([])
    for _ in range(TURNS):
        for name, (url, _) in targets.items():
            loads[name].plain_ms[-1] += [whole for _, whole in await alone(url, PLAIN, 50)]
            loads[name].first_ms[-1] += [first for first, _ in await alone(url, STREAMED, 20)]


async def measure(targets: Targets, arguments: argparse.Namespace) -> dict[str, Load]:
    loads = {name: Load(process) for name, (_, process) in targets.items()}
    for url, _ in targets.values():
        await rate(url, 1.0)
    for _ in range(arguments.rounds):
        for name, (url, _) in targets.items():
            await press(url, loads[name], arguments.seconds)
        await take_turns(targets, loads)
    return loads


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def report(loads: dict[str, Load]) -> None:
    say(f"{'':8}{'req/s':>9}{'cpu us/req':>12}{'p50 ms':>9}{'p99 ms':>9}{'first p50':>11}{'first p99':>11}{'MB':>8}")
    for name, load in loads.items():
        rates = f"{median(load.rates):9.0f}{median(load.cpu_us):12.0f}"
        whole = f"{median(load.plain(0.5)):9.3f}{median(load.plain(0.99)):9.3f}"
        first = f"{median(load.first(0.5)):11.3f}{median(load.first(0.99)):11.3f}"
        say(f"{name:8}{rates}{whole}{first}{load.process.memory_info().rss / 1e6:8.0f}")
    direct, bare, ours = loads["direct"], loads["bare"], loads["proxy"]
    rates = compared(ours.rates, bare.rates, lambda mine, theirs: mine / theirs)
    say(f"requests/s, proxy to bare, 32 connections: {rates} (aim: at least 0.50)")
    cpu = compared(bare.cpu_us, ours.cpu_us, lambda theirs, mine: theirs / mine)
    say(f"requests a processor second, proxy to bare: {cpu}")
    say(
        f"added at p50, one connection: {later(ours.plain(0.5), direct.plain(0.5))} ms over no proxy (aim: at most 0.5)"
    )
    say(f"first streamed byte at p99: {later(ours.first(0.99), bare.first(0.99))} ms after bare (aim: at most 1)")


def compared(mine: list[float], theirs: list[float], how: Callable[[float, float], float]) -> str:
    """The median of the rounds' comparisons, and how far they spread."""
    rounds = [how(a, b) for a, b in zip(mine, theirs, strict=True)]
    return f"{median(rounds):.2f} (rounds {min(rounds):.2f} to {max(rounds):.2f})"


def later(mine: list[float], theirs: list[float]) -> str:
    return compared(mine, theirs, lambda a, b: a - b)


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


async def taken(url: str) -> None:
    """Wait until the store has every record, and say so."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(120):
        while True:
            async with session.get(f"{url}/api/system/spool") as answer:
                if not (waiting := (await answer.json())["records"]):
                    return say("the store has taken every record")
            say(f"the store has yet to take {waiting} records")
            await asyncio.sleep(1)


async def hold(url: str, process: psutil.Process, requests: int) -> None:
    """Send many requests and say what became of the memory."""

    async def ask(connection: Connection, count: int) -> None:
        for _ in range(count):
            await connection.ask(request_of(PLAIN))

    for part in range(5):
        open_ones = await connections(url, 32)
        await asyncio.gather(*(ask(connection, requests // 5 // 32) for connection in open_ones))
        for connection in open_ones:
            connection.transport.close()
        say(f"after {(part + 1) * requests // 5} requests: {process.memory_info().rss / 1e6:.1f} MB (aim: under 200)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--store", action="store_true", help="run the store too, so that the proxy ships its records")
    parser.add_argument("--serve", choices=["stub", "bare"])
    parser.add_argument("--upstream", default="")
    arguments = parser.parse_args()
    if arguments.serve:
        uvloop.run(serve_stub() if arguments.serve == "stub" else serve_bare(arguments.upstream))
        return
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        me = str(Path(__file__))
        stub, stubs = stack.enter_context(started(me, "--serve", "stub"))
        bare, bares = stack.enter_context(started(me, "--serve", "bare", "--upstream", stub))
        environ = {
            "CLAUDE_PROXY_HOME": home,
            "CLAUDE_PROXY_PROXY_PORT": "0",
            "CLAUDE_PROXY_PROVIDERS_ANTHROPIC_BASE_URL": stub,
        }
        if arguments.store:
            stack.enter_context(started("-m", "data", environ=environ))
        ours, process = stack.enter_context(started("-m", "proxy", environ=environ))
        targets = {"direct": (stub, stubs), "bare": (bare, bares), "proxy": (ours, process)}
        report(uvloop.run(measure(targets, arguments)))
        if arguments.requests:
            uvloop.run(hold(ours, process, arguments.requests))
        if arguments.store:
            uvloop.run(taken(ours))


if __name__ == "__main__":
    main()
