"""/ws/crosstalk/{id}, followed from the beginning, afterwards, and by somebody who does not read."""

import asyncio
import json
import socket
from typing import Any

import aiohttp

from proxy.crosstalk import socket as crosstalk_socket
from tests.proxy.crosstalk.test_crosstalk import ONE_PROTOCOL
from tests.proxy.crosstalk.world import World, message, world
from tests.proxy.gateway import provider, until

OPENING = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Paced:
    """A provider that answers each request when it is let, with its number and as much text as is wanted."""

    def __init__(self, padding: int = 0) -> None:
        self.asked = 0
        self._padding = "x" * padding
        self._let = asyncio.Semaphore(0)

    def let(self, turns: int = 1) -> None:
        for _ in range(turns):
            self._let.release()

    async def __call__(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        await self._let.acquire()
        writer.write(message(f"turn {self.asked}{self._padding}"))
        await writer.drain()


async def heard(listener: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    async with asyncio.timeout(30):
        return json.loads(await listener.receive_str())


async def rest(listener: aiohttp.ClientWebSocketResponse) -> list[dict[str, Any]]:
    async with asyncio.timeout(30):
        return [json.loads(each.data) async for each in listener]


def path(begun: dict[str, Any]) -> str:
    return f"/ws/crosstalk/{begun['id']}"


async def test_what_was_said_comes_first_then_each_turn_as_it_is_had_then_the_end(running, config):
    paced = Paced()
    async with provider(paced) as (url, _), world(config, url) as at:
        begun = await at.begin(**ONE_PROTOCOL, max_turns=3)
        paced.let()
        await until(lambda: paced.asked == 2)
        async with at.http.ws_connect(at.proxy.url + path(begun)) as listener:
            first, said = await heard(listener), await heard(listener)
            assert (first["type"], first["session"]["status"], first["session"]["turns"]) == ("session", "running", 1)
            assert (said["type"], said["message"]["turn"], said["message"]["text"]) == ("message", 1, "turn 1")
            paced.let()
            assert (await heard(listener))["message"]["text"] == "turn 2"
            paced.let()
            last, end = await rest(listener)
            assert last["message"]["text"] == "turn 3"
            assert (end["type"], end["session"]["status"], end["session"]["reason"]) == ("end", "finished", "max_turns")
            assert listener.close_code == aiohttp.WSCloseCode.OK
        await at.ended(begun["id"])
        await until(lambda: at.proxy.proxy.parts.crosstalk.find(begun["id"]) is None)
        # afterwards the store tells the same
        async with at.http.ws_connect(at.proxy.url + path(begun)) as listener:
            again = await rest(listener)
        assert [each["type"] for each in again] == ["session", *["message"] * 3, "end"]
        assert again[-1]["session"] == {**end["session"], "unstored": 0}
        assert at.proxy.proxy.parts.followers.listeners == 0


async def test_one_that_does_not_exist_is_a_problem_and_no_socket(running, config):
    async with world(config, "http://127.0.0.1:9") as at:
        unknown = f"{at.proxy.url}/ws/crosstalk/00000000-0000-0000-0000-000000000000"
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        upgrade["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
        async with at.http.get(unknown, headers=upgrade) as got:
            assert (got.status, got.content_type) == (404, "application/problem+json")
        async with at.http.get(unknown) as got:
            assert got.status == 400
        async with at.http.get(unknown, headers={**upgrade, "Origin": "https://elsewhere.example"}) as got:
            assert got.status == 403


def deaf(at: World, to: str) -> socket.socket:
    """A listener that opens the socket and never reads, with little room for what it is sent."""
    host, _, port = at.proxy.url.removeprefix("http://").partition(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((host, int(port)))
    connection.sendall(OPENING.format(host=host, path=to).encode())
    return connection


async def test_a_listener_that_never_reads_is_dropped_and_slows_nobody(running, config, monkeypatch):
    monkeypatch.setattr(crosstalk_socket, "SEND_LIMIT_S", 0.5)
    paced = Paced(padding=400_000)
    async with provider(paced) as (url, _), world(config, url) as at:
        followers = at.proxy.proxy.parts.followers
        begun = await at.begin(**ONE_PROTOCOL, max_turns=100)
        silent = deaf(at, path(begun))
        await until(lambda: followers.listeners == 1)
        async with at.http.ws_connect(at.proxy.url + path(begun), max_msg_size=0) as good:
            await heard(good)
            turns = 0
            while not followers.dropped:
                paced.let()
                turns += 1
                assert (await heard(good))["message"]["turn"] == turns
                assert turns < 90, "the deaf one was never dropped"
            paced.let()
            assert (await heard(good))["message"]["turn"] == turns + 1
            await until(lambda: followers.listeners == 1)
        silent.close()
        await until(lambda: followers.listeners == 0)


async def test_when_the_proxy_ends_listeners_are_told_and_all_is_interrupted(running, config):
    paced = Paced()
    async with provider(paced) as (url, _):
        async with world(config, url) as at:
            begun = await at.begin(**ONE_PROTOCOL)
            paced.let()
            await until(lambda: paced.asked == 2)
            listener = await at.http.ws_connect(at.proxy.url + path(begun))
            assert (await heard(listener))["type"] == "session"
            following = asyncio.get_running_loop().create_task(rest(listener))
            stopping_at = asyncio.get_running_loop().time()
            await at.proxy.proxy.parts.crosstalk.close()
            assert asyncio.get_running_loop().time() - stopping_at < 20
            said, end = await following
            assert (said["message"]["text"], end["type"]) == ("turn 1", "end")
            assert (end["session"]["status"], end["session"]["reason"]) == ("interrupted", "proxy_ended")
        async with world(config, url) as at:
            found = await at.session(begun["id"])
            assert (found["status"], found["reason"], found["turns"]) == ("interrupted", "proxy_ended", 1)
