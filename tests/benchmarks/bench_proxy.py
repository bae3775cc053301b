"""What the proxy costs, against a bare aiohttp pass-through on the same machine in the same run.

`python -m tests.benchmarks.bench_proxy [--rounds 5] [--seconds 3] [--store] [--everything] [--requests 100000]`

Processes: this one (the client), a provider stub, a bare pass-through, the proxy; all on uvloop with one worker.
Each round presses the three targets one after the other, and then asks them in turn, a few requests each, so that
the machine's other work meets all of them. Every figure is the median of the rounds' own figures.
`--store` runs a store too, which takes the records meanwhile. `--everything` does too, and switches on what
`everything.py` says: a virtual key is needed and has limits, four budgets are reserved from for each call, and the
live feed has listeners. `--requests N` sends N more requests through the proxy and says what became of its memory.
"""

import argparse
import asyncio
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import aiohttp
import psutil
import uvloop
from aiohttp import web

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks import everything
from tests.benchmarks.load import (
    Connection,
    Load,
    Targets,
    alone,
    connections,
    later,
    post,
    pressed,
    ratio,
    say,
    started,
)

TURNS = 10
BODY = b'{"model":"claude-sonnet-4-5","max_tokens":64,"messages":[{"role":"user","content":"%s"}]%s}'


@dataclass(frozen=True)
class Asked:
    """What is asked of each target: a plain request and a streamed one."""

    plain: bytes
    streamed: bytes

    @classmethod
    def with_key(cls, key: str) -> "Asked":
        """The requests of a client that has this key."""
        bodies = (BODY % (b"x" * 400, more) for more in (b"", b',"stream":true'))
        return cls(*(post("/v1/messages", body, x_api_key=key, anthropic_version="2023-06-01") for body in bodies))


@dataclass(frozen=True)
class Aims:
    """What is to be reached: of the bare pass-through's requests a second, and milliseconds added at p50."""

    share: float = 0.50
    added_ms: float = 0.5


EVERYTHING = Aims(0.45, 0.6)


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


async def take_turns(targets: Targets, asked: Asked, loads: dict[str, Load]) -> None:
    """One round of lone requests: a few to each target, again and again."""
    for load in loads.values():
        load.plain_ms.append([])
        load.first_ms.append([])
    for _ in range(TURNS):
        for name, (url, _) in targets.items():
            loads[name].plain_ms[-1] += [whole for _, whole in await alone(url, asked.plain, 50)]
            loads[name].first_ms[-1] += [first for first, _ in await alone(url, asked.streamed, 20)]


async def measure(targets: Targets, asked: Asked, rounds: int, seconds: float) -> dict[str, Load]:
    loads = {name: Load(process) for name, (_, process) in targets.items()}
    for url, _ in targets.values():
        await pressed(url, asked.plain, 1.0)
    for _ in range(rounds):
        for name, (url, _) in targets.items():
            await loads[name].press(url, asked.plain, seconds)
        await take_turns(targets, asked, loads)
    return loads


def report(loads: dict[str, Load], aims: Aims) -> None:
    say(f"{'':8}{'req/s':>9}{'cpu us/req':>12}{'p50 ms':>9}{'p99 ms':>9}{'first p50':>11}{'first p99':>11}{'MB':>8}")
    for name, load in loads.items():
        rates = f"{median(load.rates):9.0f}{median(load.cpu_us):12.0f}"
        whole = f"{median(load.plain(0.5)):9.3f}{median(load.plain(0.99)):9.3f}"
        first = f"{median(load.first(0.5)):11.3f}{median(load.first(0.99)):11.3f}"
        say(f"{name:8}{rates}{whole}{first}{load.process.memory_info().rss / 1e6:8.0f}")
    direct, bare, ours = loads["direct"], loads["bare"], loads["proxy"]
    say(f"requests/s, proxy to bare, 32 connections: {ratio(ours.rates, bare.rates)} (aim: at least {aims.share})")
    say(f"requests a processor second, proxy to bare: {ratio(bare.cpu_us, ours.cpu_us)}")
    added = later(ours.plain(0.5), direct.plain(0.5))
    say(f"added at p50, one connection: {added} ms over no proxy (aim: at most {aims.added_ms})")
    say(f"first streamed byte at p99: {later(ours.first(0.99), bare.first(0.99))} ms after bare (aim: at most 1)")


async def taken(url: str) -> None:
    """Wait until the store has every record, and say so."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(120):
        while True:
            async with session.get(f"{url}/api/system/spool") as answer:
                if not (waiting := (await answer.json())["records"]):
                    return say("the store has taken every record")
            say(f"the store has yet to take {waiting} records")
            await asyncio.sleep(1)


async def hold(url: str, process: psutil.Process, asked: Asked, requests: int) -> None:
    """Send many requests and say what became of the memory."""

    async def ask(connection: Connection, count: int) -> None:
        for _ in range(count):
            await connection.ask(asked.plain)

    for part in range(5):
        open_ones = await connections(url, 32)
        await asyncio.gather(*(ask(connection, requests // 5 // 32) for connection in open_ones))
        for connection in open_ones:
            connection.transport.close()
        say(f"after {(part + 1) * requests // 5} requests: {process.memory_info().rss / 1e6:.1f} MB (aim: under 200)")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--store", action="store_true", help="run the store too, so that the proxy ships its records")
    parser.add_argument("--everything", action="store_true", help="keys, limits, budgets and listeners, and the store")
    parser.add_argument("--bare", default="", help="be the bare pass-through to this address")
    return parser.parse_args()


def run(arguments: argparse.Namespace, stack: ExitStack) -> None:
    """Start the programs, press them, and say what came of it."""
    home = stack.enter_context(tempfile.TemporaryDirectory())
    stub, stubs = stack.enter_context(started("-m", "tests.benchmarks.stub"))
    bare, bares = stack.enter_context(started("-m", "tests.benchmarks.bench_proxy", "--bare", stub))
    environ = {
        "CLAUDE_PROXY_HOME": home,
        "CLAUDE_PROXY_PROXY_PORT": "0",
        "CLAUDE_PROXY_PROVIDERS_ANTHROPIC_BASE_URL": stub,
        **(everything.ENVIRON if arguments.everything else {}),
    }
    if arguments.store or arguments.everything:
        stack.enter_context(started("-m", "data", environ=environ))
    ours, process = stack.enter_context(started("-m", "proxy", environ=environ))
    asked, aims = Asked.with_key("sk-bench"), Aims()
    if arguments.everything:
        asked, aims = Asked.with_key(uvloop.run(everything.set_up(ours))), EVERYTHING
        stack.enter_context(started("-m", "tests.benchmarks.everything", ours))
    targets = {"direct": (stub, stubs), "bare": (bare, bares), "proxy": (ours, process)}
    report(uvloop.run(measure(targets, asked, arguments.rounds, arguments.seconds)), aims)
    if arguments.requests:
        uvloop.run(hold(ours, process, asked, arguments.requests))
    if arguments.store or arguments.everything:
        uvloop.run(taken(ours))
    if arguments.everything:
        say(f"the budgets have counted, in dollars: {uvloop.run(everything.spent(ours))}")


def main() -> None:
    arguments = options()
    if arguments.bare:
        uvloop.run(serve_bare(arguments.bare))
        return
    with ExitStack() as stack:
        run(arguments, stack)


if __name__ == "__main__":
    main()
