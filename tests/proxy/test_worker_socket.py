"""The worker's WebSocket at the proxy's address."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.program import running
from tests.proxy.gateway import TakingStore, client
from tests.proxy.test_worker_api import config


async def say_twice(request: web.Request) -> web.WebSocketResponse:
    """Tells where it was asked, repeats what it hears, and leaves at "bye"."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str(f"{request.path_qs} {request.headers.get('Origin')}")
    async for message in socket:
        if message.data == "bye":
            await socket.close(code=4001)
        elif message.type is aiohttp.WSMsgType.BINARY:
            await socket.send_bytes(message.data * 2)
        else:
            await socket.send_str(message.data * 2)
    request.app["left"].set()
    return socket


@pytest.fixture
async def worker() -> AsyncIterator[TestServer]:
    app = web.Application()
    app["left"] = asyncio.Event()
    app.router.add_get("/ws/notifications", say_twice)
    async with TestServer(app) as server:
        yield server


pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")

OPENING = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def test_messages_pass_both_ways(tmp_path: Path, worker: TestServer):
    async with running(config(tmp_path, worker.port or 0), TakingStore()) as proxy, client() as c:
        async with c.ws_connect(f"{proxy.url}/ws/notifications?after=1", origin=proxy.url) as socket:
            assert await socket.receive_str(timeout=60) == "/ws/notifications?after=1 None"
            await socket.send_str("a")
            assert await socket.receive_str(timeout=60) == "aa"
            await socket.send_bytes(b"b")
            assert await socket.receive_bytes(timeout=60) == b"bb"
        async with asyncio.timeout(60):
            await worker.app["left"].wait()


async def test_when_the_worker_leaves_so_does_the_listeners_socket(tmp_path: Path, worker: TestServer):
    async with (
        running(config(tmp_path, worker.port or 0), TakingStore()) as proxy,
        client() as c,
        c.ws_connect(f"{proxy.url}/ws/notifications") as socket,
    ):
        await socket.receive_str(timeout=60)
        await socket.send_str("bye")
        assert (await socket.receive(timeout=60)).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4001


async def test_when_the_proxy_stops_listeners_are_told(tmp_path: Path, worker: TestServer):
    async with client() as c:
        async with running(config(tmp_path, worker.port or 0), TakingStore()) as proxy:
            socket = await c.ws_connect(f"{proxy.url}/ws/notifications")
            await socket.receive_str(timeout=60)
            listening = asyncio.ensure_future(socket.receive(timeout=60))  # noqa: TID251 - awaited below
        assert (await listening).data == aiohttp.WSCloseCode.GOING_AWAY


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}])
async def test_pages_of_other_sites_hear_nothing(tmp_path: Path, worker: TestServer, headers):
    async with running(config(tmp_path, worker.port or 0), TakingStore()) as proxy, client() as c:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await c.ws_connect(f"{proxy.url}/ws/notifications", headers=headers)
        assert refused.value.status == 403


async def test_without_a_worker_there_is_a_problem_document(tmp_path: Path):
    async with running(config(tmp_path, 9), TakingStore()) as proxy, client() as c:
        got = await c.get(f"{proxy.url}/ws/notifications", headers=OPENING)
        assert (got.status, got.content_type) == (503, "application/problem+json")
