"""/ws/live under listeners of every kind."""

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy import live_socket
from proxy.in_flight import Phase
from tests.proxy.gateway import Gateway, answer, chunked, client, gateway, provider, until
from tests.proxy.samples import EVENTS, MESSAGE, STREAMED
from tests.proxy.test_live import record, start

OPENING = (
    "GET /ws/live HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def deaf(proxy: Gateway) -> socket.socket:
    """A listener that opens the socket and never reads, with little room for what it is sent."""
    host, _, port = proxy.url.removeprefix("http://").partition(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((host, int(port)))
    connection.sendall(OPENING.format(host=host).encode())
    return connection


def call_much(proxy: Gateway, number: int) -> None:
    """As many calls as the feed holds, each with as much text as it may have."""
    for each in range(200):
        proxy.proxy.live.ended(record(number * 200 + each, error_message="x" * 500, model="m" * 200), time.time())


async def test_a_listener_that_never_reads_is_dropped_and_slows_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live_socket, "INTERVAL_S", 0.02)
    monkeypatch.setattr(live_socket, "SEND_LIMIT_S", 2.0)
    async with gateway(tmp_path, "http://127.0.0.1:9") as proxy, client() as c:
        listening = proxy.proxy.parts.live_socket
        async with c.ws_connect(f"{proxy.url}/ws/live") as good:
            await good.receive_str()
            silent = deaf(proxy)
            await until(lambda: listening.listeners == 2)
            told_at: list[float] = []
            async with asyncio.timeout(60):
                while not listening.dropped:
                    call_much(proxy, len(told_at))
                    await good.receive_str()
                    told_at.append(time.monotonic())
            assert listening.listeners == 1
            # the deaf one was waited for two seconds, in which the other one was told as ever
            assert len([at for at in told_at if at > told_at[-1] - 2.0]) >= 10
            async with c.get(f"{proxy.url}/metrics") as got:
                assert "claude_proxy_live_listeners_dropped_total 1.0" in await got.text()
        silent.close()


async def test_more_listeners_than_there_is_room_for_are_asked_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(live_socket, "MAX_LISTENERS", 3)
    async with gateway(tmp_path, "http://127.0.0.1:9") as proxy, client() as c:
        sockets = [await c.ws_connect(f"{proxy.url}/ws/live") for _ in range(4)]
        told = [await each.receive() for each in sockets]
        assert [message.type for message in told[:3]] == [aiohttp.WSMsgType.TEXT] * 3
        assert (told[3].type, told[3].data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.TRY_AGAIN_LATER)
        for each in sockets:
            await each.close()
        await until(lambda: proxy.proxy.parts.live_socket.listeners == 0)


async def test_a_call_is_seen_from_its_beginning_to_its_end(tmp_path: Path):
    """What the live message says while a provider has not answered, is answering, and has answered."""
    steps = [asyncio.Event(), asyncio.Event()]
    whole = chunked(*EVENTS)
    half = whole.index(b"event: message_delta")

    async def slow(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await steps[0].wait()
        writer.write(whole[:half])
        await steps[1].wait()
        writer.write(whole[half:])

    async with provider(slow) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        live = proxy.proxy.live

        def calls() -> list[dict[str, Any]]:
            return live.state(time.time())["calls"]  # type: ignore[no-any-return]

        calling = asyncio.get_running_loop().create_task(_post(c, proxy))
        await until(lambda: [call["phase"] for call in calls()] == [Phase.WAITING])
        steps[0].set()
        await until(lambda: [call["phase"] for call in calls()] == [Phase.RECEIVING] and calls()[0]["bytes"] > 0)
        assert calls()[0]["stream"] is True
        steps[1].set()
        await calling
        await until(lambda: calls() == [])
        assert live.in_flight == 0


async def _post(c: aiohttp.ClientSession, proxy: Gateway) -> None:
    async with c.post(f"{proxy.url}/v1/messages", data=STREAMED) as got:
        await got.read()


async def test_messages_come_once_a_second(tmp_path: Path):
    async with provider(answer(MESSAGE)) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        proxy.proxy.live.begun(start())
        async with c.ws_connect(f"{proxy.url}/ws/live") as listener:
            messages = [json.loads(await listener.receive_str()) for _ in range(3)]
        proxy.proxy.live.ended(record(), time.time())
    assert {"calls", "providers", "totals", "recent", "in_flight", "latency_p99_ms"} <= set(messages[0])
    assert messages[0]["calls"][0]["id"] == "1"
    assert messages[0]["time"] < messages[1]["time"] < messages[2]["time"]
