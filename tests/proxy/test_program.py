"""How the proxy starts and stops, and that nothing is lost between."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

import aiohttp
import pytest

from data.config import Config, ProviderConfig, ProxyConfig
from data.model import Outcome, Protocol
from data.pricing import PriceBook
from proxy import program
from proxy.program import Proxy, open_spool, running
from tests.proxy.gateway import TakingStore, answer, chunked, client, gateway, provider, until
from tests.proxy.samples import EVENTS, MESSAGE, MESSAGES, STREAMED

ROOT = Path(__file__).parents[2]


class Held:
    """A provider's script that sends the first half of a stream, and the rest when it is let go."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        whole = chunked(*EVENTS)
        cut = whole.index(b"event: message_delta")
        self._first, self._second = whole[:cut], whole[cut:]

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._first)
        left = asyncio.get_running_loop().create_task(reader.read())
        free = asyncio.get_running_loop().create_task(self.let_go.wait())
        await asyncio.wait({left, free}, return_when=asyncio.FIRST_COMPLETED)
        for waiting in (left, free):
            waiting.cancel()
        if self.let_go.is_set():
            writer.write(self._second)
        else:
            writer.close()


async def test_stopping_lets_calls_in_flight_end_and_refuses_new_ones(tmp_path: Path):
    held, store = Held(), TakingStore()
    async with provider(held) as (url, _), client() as c, asyncio.TaskGroup() as group:
        opened, stop = asyncio.Event(), asyncio.Event()
        addresses: list[str] = []

        async def live() -> None:
            async with gateway(tmp_path, url, store=store) as proxy:
                addresses.append(proxy.url)
                opened.set()
                await stop.wait()

        group.create_task(live())
        await opened.wait()
        async with c.post(f"{addresses[0]}/v1/messages", data=STREAMED) as got:
            await got.content.readany()
            stop.set()
            await until_refused(c, addresses[0])
            held.let_go.set()
            assert (await got.read()).endswith(EVENTS[-1])
    assert [row["outcome"] for row in store.taken] == ["ok"]


async def test_a_call_whose_body_is_still_coming_is_in_flight_when_the_proxy_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(program, "_STOP_S", 0.05)
    stopping, stop = asyncio.Event(), asyncio.Event()
    async with provider(answer(MESSAGE)) as (url, _), asyncio.TaskGroup() as group:
        opened: asyncio.Future[Proxy] = asyncio.get_running_loop().create_future()

        async def live() -> None:
            async with running(config(tmp_path, url, drain_s=60.0), TakingStore()) as proxy:
                opened.set_result(proxy)
                await stop.wait()
            stopping.set()

        group.create_task(live())
        proxy = await opened
        reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.rsplit(":", 1)[1]))
        writer.write(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(MESSAGES))
        writer.write(MESSAGES[:10])
        await until(lambda: proxy.forwarder._taken == 1)
        stop.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), 0.5)
        writer.write(MESSAGES[10:])
        async with asyncio.timeout(10):
            assert (await reader.read()).endswith(MESSAGE)
        writer.close()


async def test_on_a_shared_socket_idle_connections_end_while_a_stream_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(program, "_LEAVE_S", 0.1)
    held, store, stop = Held(), TakingStore(), asyncio.Event()
    async with provider(held) as (url, _), client() as c, asyncio.TaskGroup() as group:
        with socket.socket() as shared:
            shared.bind(("127.0.0.1", 0))
            shared.listen()
            opened: asyncio.Future[Proxy] = asyncio.get_running_loop().create_future()

            async def live() -> None:
                async with running(config(tmp_path, url, drain_s=60.0), store, shared=shared.dup()) as proxy:
                    opened.set_result(proxy)
                    await stop.wait()

            group.create_task(live())
            address = (await opened).url
            idle, writer = await asyncio.open_connection(*shared.getsockname())
            writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            await idle.readuntil(b"}}}")
            async with c.post(f"{address}/v1/messages", data=STREAMED) as got:
                await got.content.readany()
                stop.set()
                async with asyncio.timeout(10):
                    assert await idle.read() == b""
                held.let_go.set()
                assert (await got.read()).endswith(EVENTS[-1])
            writer.close()
    assert [row["outcome"] for row in store.taken] == ["ok"]


async def until_refused(c: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(60):
        while True:
            async with c.post(f"{url}/v1/messages/count_tokens", data=b"x" * 10, headers={"Expect": ""}) as refused:
                await refused.read()
                if refused.status == 503:
                    assert refused.headers["retry-after"]
                    return


async def test_a_call_that_outlasts_the_drain_is_interrupted_and_recorded(tmp_path: Path):
    store = TakingStore()
    async with provider(Held()) as (url, seen), client() as c:
        async with gateway(tmp_path, url, store=store, settings={"drain_s": 0.05}) as proxy:
            got = await c.post(f"{proxy.url}/v1/messages", data=STREAMED)
            await got.content.readany()
        with pytest.raises(aiohttp.ClientPayloadError):
            await got.read()
        await asyncio.wait_for(seen.gone.wait(), 60)
    assert [(row["outcome"], row["uncached_input_tokens"]) for row in store.taken] == [("interrupted", 10)]


async def test_what_was_not_shipped_is_shipped_by_the_next_proxy(tmp_path: Path):
    wire = chunked(*EVENTS)

    class Later(TakingStore):
        def __call__(self) -> TakingStore:
            if not self.up:
                raise ConnectionError("not yet")
            return self

        up = False

    store = Later()
    async with provider(wire) as (url, _), client() as c:
        async with gateway(tmp_path, url, store=store) as proxy:
            got = await c.post(f"{proxy.url}/v1/messages", data=STREAMED)
            await got.read()
        assert store.taken == []
        store.up = True
        async with gateway(tmp_path, url, store=store):
            await until(lambda: len(store.taken) == 1)


def config(home: Path, url: str = "http://127.0.0.1:9", **proxy: object) -> Config:
    providers = {"anthropic": ProviderConfig(Protocol.ANTHROPIC, url, name="anthropic")}
    return Config(home=home, providers=providers, proxy=ProxyConfig(**{"port": 0, **proxy}))  # type: ignore[arg-type]


async def test_two_proxies_on_one_home_have_a_spool_each(tmp_path: Path):
    async with running(config(tmp_path), TakingStore()) as one, running(config(tmp_path), TakingStore()) as other:
        assert one.spool.spool_id != other.spool.spool_id
        assert one.url != other.url


@pytest.mark.parametrize("before", [False, True], ids=["new", "from before"])
def test_the_spool_is_its_owner_s_alone(tmp_path: Path, before: bool):  # noqa: FBT001
    if before:
        (tmp_path / "spool").mkdir(mode=0o755)
    open_spool(config(tmp_path), PriceBook()).close()
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


async def test_a_taken_port_is_an_error_and_leaves_nothing_open(tmp_path: Path):
    async with running(config(tmp_path), TakingStore()) as proxy:
        port = int(proxy.url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="address already in use"):
            async with running(config(tmp_path, port=port), TakingStore()):
                pass
    for number in (1, 2):
        assert (tmp_path / "spool" / f"proxy-{number}").exists()
    open_spool(config(tmp_path), PriceBook()).close()


async def test_the_program_says_when_it_is_ready_survives_kill_and_ends_on_a_signal(tmp_path: Path):
    async with provider(Held()) as (url, _), client() as c:
        async with started(tmp_path, url) as (process, address):
            got = await c.post(f"{address}/v1/messages", data=STREAMED)
            await got.content.readany()
            process.kill()
            with pytest.raises(aiohttp.ClientError):
                await got.read()
        async with started(tmp_path, url) as (process, address):
            async with c.get(f"{address}/api/system/spool") as got:
                assert (await got.json())["records"] == 1
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 60) == 0
    spool = open_spool(config(tmp_path), PriceBook())
    _, records = spool.read(0, 10)
    spool.close()
    assert [record.outcome for record in records] == [Outcome.INTERRUPTED]


@asynccontextmanager
async def started(
    home: Path, url: str, errors: IO[str] | int = subprocess.DEVNULL, **more: str
) -> AsyncIterator[tuple[subprocess.Popen[str], str]]:
    environ = {
        **os.environ,
        "CLAUDE_PROXY_HOME": str(home),
        "CLAUDE_PROXY_PROXY_PORT": "0",
        "CLAUDE_PROXY_PROVIDERS_ANTHROPIC_BASE_URL": url,
        **more,
    }
    command = [sys.executable, "-m", "proxy"]
    with subprocess.Popen(  # noqa: ASYNC220 - it is waited for in a thread
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=errors, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 60)
            assert line.startswith("proxy ready http://127.0.0.1:")
            yield process, line.split()[-1]
        finally:
            process.kill()


async def test_gemini_is_set_up_by_variables_alone(tmp_path: Path):
    said = b'{"candidates":[],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2}}'
    async with provider(answer(said)) as (url, seen):
        variables = {"CLAUDE_PROXY_PROVIDERS_GEMINI_BASE_URL": url, "CLAUDE_PROXY_PROVIDERS_GEMINI_API_KEY": "AIza-own"}
        async with started(tmp_path, "http://127.0.0.1:9", **variables) as (_, address), client() as c:
            async with c.post(f"{address}/v1beta/models/gemini-2.5-pro:generateContent", data=b"{}") as got:
                assert (got.status, await got.read()) == (200, said)
                assert got.headers["x-claude-proxy-provider"] == "gemini"
    assert b"x-goog-api-key: AIza-own" in seen.heads[0]


async def test_a_body_that_breaks_off_is_refused_and_holds_up_nobody(tmp_path: Path):
    async with gateway(tmp_path, "http://127.0.0.1:9") as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.rsplit(":", 1)[1]))
        writer.write(
            b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
        )
        assert b"100 Continue" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        writer.write(b"5\r\nhello_SECRET\r\n")
        answer = await asyncio.wait_for(reader.read(), 60)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"SECRET" not in answer


NOT_HTTP = {
    "header": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nx-api-key: sk-SECRET\x01\r\n\r\n",
    "chunk": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello_SECRET\r\n",
    "length": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: SECRET\r\n\r\n",
    "method": b"SECRET\x00 / HTTP/1.1\r\n\r\n",
    "long": b"GET / HTTP/1.1\r\nHost: x\r\nx: " + b"SECRET" * 20_000 + b"\r\n\r\n",
}


async def test_what_is_not_http_is_neither_logged_nor_sent_back(tmp_path: Path):
    log, answers = tmp_path / "errors", {}
    with log.open("w") as errors:
        async with started(tmp_path, "http://127.0.0.1:9", errors) as (_, address):
            for name, sent in NOT_HTTP.items():
                reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rsplit(":", 1)[1]))
                writer.write(sent)
                answers[name] = await asyncio.wait_for(reader.read(), 60)
                writer.close()
    assert {name: answer.split()[1] for name, answer in answers.items()} == dict.fromkeys(NOT_HTTP, b"400")
    assert [name for name, answer in answers.items() if b"SECRET" in answer] == []
    assert [line for line in log.read_text().splitlines() if "SECRET" in line or len(line) > 2000] == []


def test_bad_configuration_is_said_in_one_line_each(tmp_path: Path):
    environ = {**os.environ, "CLAUDE_PROXY_HOME": str(tmp_path), "CLAUDE_PROXY_PROXY_PORT": "many"}
    ended = subprocess.run(
        [sys.executable, "-m", "proxy"], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("proxy: CLAUDE_PROXY_PROXY_PORT: ")
    assert "Traceback" not in ended.stderr
