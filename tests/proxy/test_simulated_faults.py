"""What can go wrong at a provider, seen by a client that looks at the bytes."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator

import aiohttp
import brotli
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.simulated.behaviour import BEHAVIOURS
from proxy.simulated.packing import zstd
from proxy.simulated.server import BOOKS, PROVIDER, make_app
from proxy.simulated.settings import SimulatedSettings

PATHS = {
    "/v1/messages": {"model": "claude-opus-5-5", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]},
    "/v1/chat/completions": {"model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}]},
    "/v1/responses": {"model": "gpt-5", "input": "Hi"},
}
CODINGS = {"gzip": gzip.decompress, "deflate": zlib.decompress, "br": brotli.decompress, "zstd": zstd.decompress}


@pytest.fixture
def app() -> web.Application:
    return make_app(SimulatedSettings(speed=0))


@pytest.fixture
async def client(app: web.Application) -> AsyncIterator[aiohttp.ClientSession]:
    async with TestServer(app) as server, aiohttp.ClientSession(server.make_url("/"), auto_decompress=False) as session:
        yield session


def ask(client: aiohttp.ClientSession, path: str, simulate: str, *, stream: bool = True):
    return client.post(path, json=PATHS[path] | {"stream": stream}, headers={"x-simulate": simulate})


every_path = pytest.mark.parametrize("path", PATHS)
either_way = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


@every_path
@either_way
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 503, 504, 529])
async def test_an_error_has_its_status_and_the_protocols_shape(client, path, stream, status):
    async with ask(client, path, f"error={status},retry_after=1.5", stream=stream) as answer:
        body = await answer.json()
        assert answer.status == status
        assert answer.headers["retry-after"] == "1.5"
        assert body["error"]["type"]
        assert ("type" in body) is (path == "/v1/messages")


@every_path
async def test_a_hang_up_cuts_the_stream_after_that_many_events(client, app, path):
    async with ask(client, path, "hang_up_after=3") as answer:
        events = [await answer.content.readuntil(b"\n\n") for _ in range(3)]
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.readuntil(b"\n\n")
    assert all(b"data: " in event for event in events)
    assert app[BOOKS].totals.broken == 1
    assert app[BOOKS].totals.output_tokens == 0


@either_way
async def test_a_hang_up_before_the_first_byte_is_a_lost_connection(client, stream):
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await ask(client, "/v1/messages", "hang_up", stream=stream)


@pytest.mark.parametrize("simulate", ["hang_up_after=1", "wrong_length"])
async def test_a_whole_answer_can_break_off_in_its_body(client, simulate):
    async with ask(client, "/v1/messages", simulate, stream=False) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_a_stream_with_a_wrong_length_ends_early(client):
    async with ask(client, "/v1/messages", "wrong_length") as answer:
        assert int(answer.headers["content-length"]) > 100
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


@every_path
@either_way
async def test_a_hanging_provider_answers_nothing_and_lets_go_when_the_client_does(client, app, path, stream):
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(answered(client, path, stream=stream))
        await until(lambda: app[PROVIDER].seen == 1)
        assert not waiting.done()
        waiting.cancel()
    await until(lambda: app[BOOKS].totals.broken == 1)


async def test_a_hanging_provider_does_not_delay_its_own_end():
    app = make_app(SimulatedSettings(speed=0))
    async with asyncio.timeout(60), TestServer(app) as server, aiohttp.ClientSession(server.make_url("/")) as client:
        answer = await ask(client, "/v1/messages", "hang_after=2")
        await answer.content.readuntil(b"\n\n")
        await server.close()
        answer.close()


@every_path
async def test_a_truncated_stream_ends_as_if_it_were_complete(client, app, path):
    async with ask(client, path, "truncate_after=2") as answer:
        assert (await answer.read()).count(b"\n\n") == 2
    assert app[BOOKS].totals.answered == 0


@every_path
async def test_an_error_event_ends_the_stream(client, path):
    async with ask(client, path, "error_event_after=2") as answer:
        last = (await answer.read()).split(b"\n\n")[-2]
        assert answer.status == 200
    data = json.loads(last.split(b"data: ")[1])
    assert "error" in data or data["type"] == "error"


@every_path
@either_way
async def test_garbage_is_not_the_protocol(client, app, path, stream):
    async with ask(client, path, "garbage", stream=stream) as answer:
        assert answer.status == 200
        body = await answer.read()
    with pytest.raises(json.JSONDecodeError):
        json.loads(body.removeprefix(b"data: "))
    assert app[BOOKS].totals.broken == 1


@every_path
async def test_an_unknown_event_comes_second(client, path):
    async with ask(client, path, "unknown_event") as answer:
        events = (await answer.read()).split(b"\n\n")
    assert b"weather_report" in events[1]


@every_path
@either_way
async def test_invalid_utf8_stands_in_the_text(client, path, stream):
    async with ask(client, path, "invalid_utf8,output=60", stream=stream) as answer:
        with pytest.raises(UnicodeDecodeError):
            (await answer.read()).decode()


@either_way
async def test_a_slow_drip_sends_every_byte(client, stream):
    steered = "output=2,ttft_ms=0,duration_ms=0,chunks=1"
    async with ask(client, "/v1/messages", steered, stream=stream) as answer:
        wanted = len(await answer.read())
    async with ask(client, "/v1/messages", f"{steered},slow_drip=0.01", stream=stream) as answer:
        parts = [part async for part in answer.content.iter_any()]
    assert sum(map(len, parts)) == wanted
    assert len(parts) > 20


@every_path
@pytest.mark.parametrize(("coding", "unpack"), CODINGS.items())
async def test_a_compressed_answer_unpacks_to_the_plain_one(client, path, coding, unpack):
    async with ask(client, path, coding) as answer:
        assert answer.headers["content-encoding"] == coding
        assert unpack(await answer.read()).endswith(b"\n\n")


@every_path
async def test_lines_may_end_with_crlf_and_comments_may_stand_between(client, path):
    async with ask(client, path, "crlf,comments") as answer:
        body = await answer.read()
    assert body.startswith(b": keep-alive\r\n\r\n")
    assert b"\n" not in body.replace(b"\r\n", b"")


@pytest.mark.parametrize("simulate", ["bogus", "error=999", "hang_up_after=soon", "output=-1", "input=nan", "error=no"])
async def test_steering_that_does_not_exist_is_refused(client, simulate):
    async with ask(client, "/v1/messages", simulate) as answer:
        assert answer.status == 400
        assert "x-simulate" in (await answer.json())["error"]["message"]


async def test_given_times_hold_at_any_speed(client):
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with ask(client, "/v1/messages", "ttft_ms=60,duration_ms=180,output=40") as answer:
        await answer.content.readany()
        first = loop.time() - began
        await answer.read()
        whole = loop.time() - began
    assert first >= 0.055
    assert whole >= 0.175


async def test_background_faults_come_at_their_rates_and_repeat_with_the_seed():
    settings = SimulatedSettings(speed=0, seed=5, error_rate=0.2, rate_limit_rate=0.2, overload_rate=0.2)
    assert await statuses(settings) == (found := await statuses(settings))
    assert set(found) == {200, 429, 500, 529}
    assert 60 <= found.count(200) <= 140


async def test_a_steered_request_meets_no_background_fault():
    settings = SimulatedSettings(speed=0, error_rate=1.0)
    assert set(await statuses(settings, {"x-simulate": "output=1"})) == {200}


async def answered(client: aiohttp.ClientSession, path: str, *, stream: bool) -> int:
    async with ask(client, path, "hang", stream=stream) as answer:
        return answer.status


async def statuses(settings: SimulatedSettings, headers: dict[str, str] | None = None) -> list[int]:
    found = []
    async with TestServer(make_app(settings)) as server, aiohttp.ClientSession(server.make_url("/")) as client:
        for _ in range(250):
            async with client.post("/v1/messages", json=PATHS["/v1/messages"], headers=headers) as answer:
                await answer.read()
                found.append(answer.status)
    return found


def test_every_behaviour_has_a_name_of_its_own_and_says_what_it_does():
    assert len({behaviour.name for behaviour in BEHAVIOURS}) == len(BEHAVIOURS)
    assert all(behaviour.says for behaviour in BEHAVIOURS)


async def until(condition, *, limit_s: float = 60.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.01)
