"""Reading the configuration again: new calls follow it, calls in flight and open connections stay."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

from data.config import BreakerConfig, Config, PriceOverride, ProviderConfig, ProxyConfig, WorkerConfig
from data.model import Protocol
from proxy.program import running
from tests.conftest import ROOT
from tests.proxy.gateway import TakingStore, answer, client, provider, until
from tests.proxy.samples import EVENTS, MESSAGE, MESSAGES, STREAMED

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Halves:
    """Sends half of a stream, and the rest when told to."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def __call__(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *rest = EVENTS
        writer.write(HEAD + b"%x\r\n%s\r\n" % (len(first), first))
        await self.go_on.wait()
        for event in rest:
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
        writer.write(b"0\r\n\r\n")
        await writer.drain()


def write_config(path: Path, url: str, extra: str = "") -> None:
    path.write_text(f'[proxy]\nport = 0\n{extra}\n[providers.anthropic]\nprotocol = "anthropic"\nbase_url = "{url}"\n')


@asynccontextmanager
async def started(home: Path, config: Path) -> AsyncIterator[tuple[subprocess.Popen[str], str, Path]]:
    environ = {**os.environ, "CLAUDE_PROXY_HOME": str(home), "CLAUDE_PROXY_CONFIG": str(config)}
    errors = home / "errors"
    with (
        errors.open("w") as log,
        subprocess.Popen(  # noqa: ASYNC220 - it is waited for in a thread
            [sys.executable, "-m", "proxy"], cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 60)
            yield process, line.split()[-1], errors
        finally:
            process.kill()


async def said(log: Path, words: str) -> None:
    async with asyncio.timeout(60):
        while words not in log.read_text():  # noqa: ASYNC240 - a small local file
            await asyncio.sleep(0.02)


async def test_new_calls_follow_the_new_configuration_and_old_ones_end_by_the_old(home: Path):
    halves, config = Halves(), home / "config.toml"
    async with provider(halves) as (old, _), provider(answer(MESSAGE)) as (new, seen), client() as c:
        write_config(config, old)
        async with started(home, config) as (process, url, log):
            stream = await c.post(f"{url}/v1/messages", data=STREAMED)
            assert await stream.content.readany() == EVENTS[0]
            write_config(config, new, "drain_s = 1")
            process.send_signal(signal.SIGHUP)
            await said(log, "read again")
            async with c.post(f"{url}/v1/messages", data=MESSAGES) as got:
                assert await got.read() == MESSAGE
            assert len(seen.bodies) == 1
            halves.go_on.set()
            assert await stream.read() == b"".join(EVENTS[1:])


async def test_a_connection_outlives_a_reload(home: Path):
    config = home / "config.toml"
    call = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(MESSAGES), MESSAGES)
    async with provider(answer(MESSAGE)) as (url, _):
        write_config(config, url)
        async with started(home, config) as (process, address, log):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rsplit(":", 1)[1]))
            for _ in range(2):
                writer.write(call)
                await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(len(MESSAGE)) == MESSAGE
                process.send_signal(signal.SIGHUP)
                await said(log, "read again")
            writer.close()


async def test_a_configuration_with_faults_changes_nothing(home: Path):
    config = home / "config.toml"
    async with provider(answer(MESSAGE)) as (url, _), client() as c:
        write_config(config, url)
        async with started(home, config) as (process, address, log):
            config.write_text('[providers.anthropic]\nprotocol = "smoke signals"\n')
            process.send_signal(signal.SIGHUP)
            await said(log, "has faults and stays as it was")
            async with c.post(f"{address}/v1/messages", data=MESSAGES) as got:
                assert await got.read() == MESSAGE


async def test_lines_for_calls_and_the_level_of_the_log_follow(home: Path):
    config = home / "config.toml"
    async with provider(answer(MESSAGE)) as (url, _), client() as c:
        write_config(config, url)
        async with started(home, config) as (process, address, log):
            write_config(config, url, 'access_log = true\nlog_level = "debug"')
            process.send_signal(signal.SIGHUP)
            await said(log, "read again")
            async with c.post(f"{address}/v1/messages", data=MESSAGES) as got:
                assert await got.read() == MESSAGE
            await said(log, '"logger":"proxy.access","message":"call"')
            await said(log, '"level":"debug"')


def served_by(home: Path, url: str, **more: object) -> Config:
    providers = {"anthropic": ProviderConfig(Protocol.ANTHROPIC, url, name="anthropic")}
    return Config(home=home, proxy=ProxyConfig(port=0), providers=providers, **more)


async def test_the_breaker_follows_and_the_workers_address_does_not(tmp_path: Path):
    broken = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
    async with provider(broken) as (base, seen), client() as c:
        old = served_by(tmp_path, base)
        new = served_by(
            tmp_path,
            base,
            worker=WorkerConfig(port=1),
            breaker=BreakerConfig(failures=1, without_alternative="refuse"),
        )
        async with running(old, TakingStore()) as proxy:

            async def call() -> str | None:
                async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
                    return got.headers.get("x-claude-proxy-error")

            assert [await call() for _ in range(2)] == [None, None]
            assert [proxy.reload(new) for _ in range(2)] == [["worker.port"]] * 2
            assert [await call() for _ in range(2)] == [None, "circuit_open"]
            assert len(seen.bodies) == 3


async def test_results_of_batches_are_priced_by_the_prices_of_the_day(tmp_path: Path):
    line = b'{"custom_id":"%s","result":{"type":"succeeded","message":' + MESSAGE + b"}}\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-jsonl\r\nContent-Length: %d\r\n\r\n"
    found = [line % name for name in (b"one", b"two")]
    store = TakingStore()
    answers = [head % len(body) + body for body in found]
    async with provider(*answers) as (base, _), client() as c:
        dear = PriceOverride("*", input=Decimal(1_000_000), output=Decimal(0))
        async with running(served_by(tmp_path, base), store) as proxy:
            for config in (served_by(tmp_path, base), served_by(tmp_path, base, prices=(dear,))):
                proxy.reload(config)
                async with c.get(f"{proxy.url}/v1/messages/batches/b1/results") as got:
                    await got.read()
            await until(lambda: sum(row["endpoint"] == "batch_result" for row in store.taken) == 2)
    first, second = (row for row in store.taken if row["endpoint"] == "batch_result")
    assert first["price_source"] != "override"
    assert second["price_source"] == "override"


async def test_what_takes_a_new_start_is_named(home: Path):
    config = home / "config.toml"
    async with provider(answer(MESSAGE)) as (url, _):
        write_config(config, url)
        async with started(home, config) as (process, _, log):
            write_config(config, url, "processes = 2")
            process.send_signal(signal.SIGHUP)
            await said(log, "these take a new start: proxy.processes")
