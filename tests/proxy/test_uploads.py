"""Uploads go on to the provider as they come; however one ends, both sides know it and one record says it."""

import asyncio
import io
import json
import socket
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from data.config import ProviderConfig
from data.model import Cause, CostStatus, Endpoint, LedgerRecord, Outcome, Protocol
from data.route_config import FallbacksConfig, RouteConfig, TargetConfig
from proxy.endpoints import Asked
from proxy.uploads import AT_ONCE_BYTES, is_upload
from tests.proxy.budget_worlds import begin_counting, budget
from tests.proxy.gateway import TakingStore, answer, client, gateway, until
from tests.proxy.sink import DONE, MB, Sender, Taken, blocks, hash_of, sender, sink, takes_all

QUICK = {"connect_timeout_s": 1, "first_byte_timeout_s": 1, "idle_timeout_s": 1}
#: More than what two kernels and the proxy hold between a client and a provider that reads nothing.
LONG = 64 * MB
REFUSED = b'{"type":"error","error":{"type":"authentication_error","message":"no"}}'
UNAUTHORIZED = answer(REFUSED, status="401 Unauthorized", headers="request-id: req_1\r\n")
FILES = Asked(Endpoint.FILES, Protocol.ANTHROPIC, "/v1/files")
OTHER = Asked(Endpoint.OTHER, Protocol.OPENAI, "/v1/audio/transcriptions", provider="openai")


@pytest.mark.parametrize(
    ("asked", "headers", "length", "streams"),
    [
        pytest.param(FILES, {"Content-Type": "multipart/form-data; boundary=x"}, MB, True, id="a form"),
        pytest.param(FILES, {"Content-Type": "Application/Octet-Stream"}, MB, True, id="bytes"),
        pytest.param(OTHER, {"Content-Type": "multipart/form-data; boundary=x"}, MB, True, id="speech in a form"),
        pytest.param(OTHER, {"Content-Type": "video/mp4"}, MB, True, id="a film"),
        pytest.param(OTHER, {"Content-Type": "application/json"}, MB, False, id="JSON, which may name a model"),
        pytest.param(OTHER, {}, MB, False, id="nobody says what it is"),
        pytest.param(FILES, {"Content-Type": "image/png"}, AT_ONCE_BYTES, False, id="short: it may be sent again"),
        pytest.param(FILES, {"Content-Type": "image/png"}, AT_ONCE_BYTES + 1, True, id="no longer short"),
        pytest.param(
            FILES, {"Content-Type": "image/png", "Transfer-Encoding": "chunked"}, None, True, id="nobody says how long"
        ),
        pytest.param(FILES, {"Content-Type": "image/png"}, None, False, id="no body"),
        pytest.param(
            Asked(Endpoint.MESSAGES, Protocol.ANTHROPIC, "/v1/messages"),
            {"Content-Type": "application/octet-stream"},
            MB,
            False,
            id="an endpoint whose body is read",
        ),
        pytest.param(
            Asked(Endpoint.FILES, Protocol.ANTHROPIC, "/v1/files", "GET"),
            {"Content-Type": "application/octet-stream"},
            MB,
            False,
            id="a question",
        ),
    ],
)
def test_what_is_an_upload(asked: Asked, headers: dict[str, str], length: int | None, streams: bool):  # noqa: FBT001
    assert is_upload(asked, headers, length) is streams


def is_free(record: LedgerRecord) -> bool:
    return (record.cost_usd, record.cost_status) == (Decimal(0), CostStatus.EXACT)


@pytest.mark.parametrize("says_length", [True, False], ids=["with a length", "in chunks"])
@pytest.mark.parametrize(
    ("path", "provider", "key_header"),
    [("/anthropic/v1/files", "anthropic", "x-api-key"), ("/openai/v1/audio/transcriptions", "openai", "authorization")],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_an_upload_arrives_as_it_left(
    tmp_path: Path, path: str, provider: str, key_header: str, method: str, *, says_length: bool
):
    if method == "PUT":
        path = f"/{provider}/v1/elsewhere"
    size = 3 * MB
    async with sink() as (url, came), gateway(tmp_path, url, api_key="sk-own-key") as proxy:
        headers = ("x-api-key: sk-callers", "x-other: kept")
        async with sender(proxy, *headers, length=size if says_length else None, path=path, method=method) as c:
            for piece in blocks(size):
                await (c.send(piece) if says_length else c.chunk(piece))
            if not says_length:
                await c.send(b"0\r\n\r\n")
            assert await c.status() == 200
            assert await c.reader.readexactly(15) == b'{"id":"file_1"}'
        record = await proxy.record()
    [taken] = came
    assert (taken.size, taken.hash) == (size, hash_of(blocks(size)))
    assert taken.header("content-length") == (str(size) if says_length else None)
    assert taken.header("transfer-encoding") == (None if says_length else "chunked")
    assert (taken.header("content-type"), taken.header("x-other")) == ("application/octet-stream", "kept")
    assert "sk-own-key" in (taken.header(key_header) or "")
    assert b"sk-callers" not in taken.head
    assert (record.outcome, record.status, record.provider) == (Outcome.OK, 200, provider)
    assert (record.request_bytes, record.response_bytes) == (size, 15)
    assert 0 <= record.overhead_ms <= record.duration_ms


async def test_a_provider_has_the_beginning_before_the_client_has_sent_the_end(tmp_path: Path):
    async with sink() as (url, came), gateway(tmp_path, url) as proxy, sender(proxy, length=4 * MB) as c:
        first, *rest = blocks(4 * MB)
        await c.send(first)
        await until(lambda: bool(came) and came[0].size == len(first))
        [call] = proxy.proxy.live.state(time.time())["calls"]
        assert call["phase"] == "sending"
        for piece in rest:
            await c.send(piece)
        assert await c.status() == 200
        assert (await proxy.record()).request_bytes == 4 * MB


async def test_a_provider_that_does_not_read_holds_back_the_client(tmp_path: Path):
    let_go = asyncio.Event()

    async def waits(taken: Taken, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        await let_go.wait()
        reader._transport.resume_reading()  # type: ignore[attr-defined]
        await takes_all(taken, reader, writer)

    sent = 0
    async with sink(waits) as (url, came), gateway(tmp_path, url) as proxy, sender(proxy, length=LONG) as c:

        async def send() -> None:
            nonlocal sent
            for piece in blocks(LONG):
                await c.send(piece)
                sent += len(piece)

        sending = asyncio.get_running_loop().create_task(send())
        await until(lambda: bool(came))
        seen = -1
        while seen != sent:  # until the client is stuck
            seen = sent
            await asyncio.sleep(0.2)
        assert sent < LONG
        let_go.set()
        await sending
        assert await c.status() == 200
        assert (await proxy.record()).request_bytes == LONG
    assert came[0].hash == hash_of(blocks(LONG))


async def test_a_client_may_wait_to_be_told_to_go_on(tmp_path: Path):
    async with sink() as (url, came), gateway(tmp_path, url) as proxy:
        async with sender(proxy, "Expect: 100-continue", length=MB) as c:
            assert await c.status() == 100
            for piece in blocks(MB):
                await c.send(piece)
            assert await c.status() == 200
        await proxy.record()
    assert came[0].hash == hash_of(blocks(MB))
    assert came[0].header("expect") is None


async def test_a_connection_serves_upload_after_upload(tmp_path: Path):
    async with sink() as (url, came), gateway(tmp_path, url) as proxy, client() as c:
        for _ in range(3):
            async with c.post(f"{proxy.url}/v1/files", data=b"".join(blocks(MB))) as got:
                assert got.status == 200
                assert await got.read() == b'{"id":"file_1"}'
                assert "connection" not in got.headers
        assert len(c.connector._conns) == 1  # type: ignore[union-attr]
        await until(lambda: len(proxy.records) == 3)
    assert {taken.hash for taken in came} == {hash_of(blocks(MB))}


async def test_an_upload_over_the_limit_is_refused_at_once_where_its_length_says_so(tmp_path: Path):
    async with sink() as (url, came), gateway(tmp_path, url, settings={"max_body_bytes": MB}) as proxy:
        async with sender(proxy, length=MB + 1) as c:
            assert await c.status() == 413
    assert (came, proxy.records) == ([], [])


async def test_an_upload_that_runs_over_the_limit_is_broken_off(tmp_path: Path):
    async with sink() as (url, came), gateway(tmp_path, url, settings={"max_body_bytes": MB}) as proxy:
        async with sender(proxy) as c:
            for piece in blocks(MB):
                await c.chunk(piece)
            await c.chunk(b"x")
            head = await c.head()
            assert head.startswith(b"HTTP/1.1 413 ")
            assert b"x-claude-proxy-error: request_too_large\r\n" in head.lower()
            assert b"connection: close\r\n" in head.lower()
        record = await proxy.record()
        await asyncio.wait_for(came[0].gone.wait(), 60)
    assert not came[0].whole
    assert (record.outcome, record.status, record.error_class) == (Outcome.ERROR, 413, "request_too_large")
    assert record.request_bytes > MB
    assert is_free(record)


async def test_as_much_as_the_limit_passes(tmp_path: Path):
    async with sink() as (url, came), gateway(tmp_path, url, settings={"max_body_bytes": MB}) as proxy:
        async with sender(proxy) as c:
            for piece in blocks(MB):
                await c.chunk(piece)
            await c.send(b"0\r\n\r\n")
            assert await c.status() == 200
    assert came[0].whole


@pytest.mark.parametrize("on_disconnect", ["abort", "drain"])
@pytest.mark.parametrize("says_length", [True, False], ids=["with a length", "in chunks"])
async def test_a_client_that_hangs_up_ends_the_upload(tmp_path: Path, on_disconnect: str, *, says_length: bool):
    settings = {"on_disconnect": on_disconnect}
    async with sink() as (url, came), gateway(tmp_path, url, settings=settings) as proxy:
        async with sender(proxy, length=4 * MB if says_length else None) as c:
            for piece in blocks(MB):
                await (c.send(piece) if says_length else c.chunk(piece))
            await until(lambda: bool(came) and came[0].size == MB)
            c.writer.transport.abort()
        record = await proxy.record()
        await asyncio.wait_for(came[0].gone.wait(), 60)
    assert not came[0].whole
    assert (record.outcome, record.status, record.error_class) == (Outcome.DISCONNECTED, 0, "client_disconnected")
    assert record.request_bytes == MB
    assert is_free(record)


async def test_draining_reads_the_answer_of_an_upload_whose_client_has_gone(tmp_path: Path):
    left = asyncio.Event()

    async def waits(taken: Taken, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await taken.take(reader)
        await left.wait()
        writer.write(DONE)

    settings = {"on_disconnect": "drain"}
    async with sink(waits) as (url, came), gateway(tmp_path, url, settings=settings) as proxy:
        async with sender(proxy, length=MB) as c:
            for piece in blocks(MB):
                await c.send(piece)
            await until(lambda: bool(came) and came[0].whole)
            c.writer.transport.abort()
        async with client() as other:  # the proxy has heard of it by the time it answers this
            await (await other.get(f"{proxy.url}/health")).read()
        left.set()
        record = await proxy.record()
    assert (record.outcome, record.request_bytes, record.response_bytes) == (Outcome.DISCONNECTED, MB, 15)


async def test_an_upload_that_is_not_framed_as_http_says_is_refused(tmp_path: Path):
    async with sink() as (url, came), gateway(tmp_path, url) as proxy, sender(proxy) as c:
        for piece in blocks(MB):
            await c.chunk(piece)
        await until(lambda: bool(came) and came[0].size == MB)
        await c.send(b"5\r\nhello_no\r\n")
        assert await c.status() == 400
        record = await proxy.record()
        await asyncio.wait_for(came[0].gone.wait(), 60)
    assert (record.outcome, record.status, record.error_class) == (Outcome.ERROR, 400, "incomplete_request")


async def refuses_early(taken: Taken, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(UNAUTHORIZED)
    await taken.take(reader)


async def refuses_and_closes(taken: Taken, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(UNAUTHORIZED)
    await writer.drain()
    writer.write_eof()
    await taken.take(reader)  # as servers do that linger, so that the answer is not lost


@pytest.mark.parametrize("serve", [refuses_early, refuses_and_closes])
async def test_an_early_answer_reaches_the_client_and_ends_the_upload(tmp_path: Path, serve):
    async with sink(serve) as (url, came), gateway(tmp_path, url) as proxy, sender(proxy, length=LONG) as c:
        for piece in blocks(MB):
            await c.send(piece)
        head = await c.head()
        assert head.startswith(b"HTTP/1.1 401 ")
        assert b"request-id: req_1\r\n" in head
        assert b"connection: close\r\n" in head.lower()
        assert await c.reader.readexactly(len(REFUSED)) == REFUSED
        await asyncio.wait_for(came[0].gone.wait(), 60)
        record = await proxy.record()
        c.writer.write_eof()
        assert await c.rest() == b""
    assert (record.outcome, record.status, record.error_class) == (Outcome.ERROR, 401, "authentication_error")
    assert record.request_bytes <= MB
    assert is_free(record)


async def test_a_client_that_sends_on_after_an_early_answer_loses_nothing_but_the_connection(tmp_path: Path, caplog):
    async with sink(refuses_early) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/files", data=io.BytesIO(b"".join(blocks(32 * MB)))) as got:
            assert (got.status, await got.read()) == (401, REFUSED)
        async with c.post(f"{proxy.url}/v1/files", data=io.BytesIO(b"".join(blocks(32 * MB)))) as got:
            assert (got.status, await got.read()) == (401, REFUSED)
        await until(lambda: len(proxy.records) == 2)
    assert [each for each in caplog.records if each.name.startswith("aiohttp")] == []


async def test_an_answer_may_come_while_the_upload_goes_on(tmp_path: Path):
    async def echoes(taken: Taken, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nbegin")
        await taken.take(reader)
        writer.write(b"ended")

    async with sink(echoes) as (url, came), gateway(tmp_path, url, settings=QUICK) as proxy:
        async with sender(proxy, length=MB) as c:
            first, *rest = blocks(MB)
            await c.send(first)
            head = await c.head()
            assert head.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close\r\n" in head.lower()  # whether the rest is read is not known yet
            assert await c.reader.readexactly(5) == b"begin"
            for piece in rest:
                await c.send(piece)
                await asyncio.sleep(0.08)  # in all longer than the limit for a single wait
            assert await c.reader.readexactly(5) == b"ended"
        record = await proxy.record()
    assert (record.outcome, record.request_bytes, came[0].hash) == (Outcome.OK, MB, hash_of(blocks(MB)))


async def answers_while_it_takes(taken: Taken, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nbegin")
    await taken.take(reader)


async def _run_over(c: Sender) -> None:
    """Send more than a megabyte, to a provider whose answer begins before its end."""
    first, *rest = blocks(MB)
    await c.chunk(first)
    assert await c.status() == 200
    for piece in (*rest, b"x"):
        await c.chunk(piece)


async def test_an_upload_that_runs_over_the_limit_breaks_off_an_answer_that_has_begun(tmp_path: Path):
    settings = {"max_body_bytes": MB}
    async with sink(answers_while_it_takes) as (url, came), gateway(tmp_path, url, settings=settings) as proxy:
        async with sender(proxy) as c:
            await _run_over(c)
            assert await c.rest() == b"begin"
        record = await proxy.record()
        await asyncio.wait_for(came[0].gone.wait(), 60)
    assert (record.outcome, record.status, record.error_class) == (Outcome.ERROR, 200, "request_too_large")


async def test_an_answer_without_a_length_is_not_whole_because_its_upload_was_given_up(tmp_path: Path):
    async def answers_until_the_end(taken: Taken, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nbegin")
        await taken.take(reader)

    settings = {"max_body_bytes": MB}
    async with sink(answers_until_the_end) as (url, _), gateway(tmp_path, url, settings=settings) as proxy:
        async with sender(proxy) as c:
            await _run_over(c)
            said = await c.rest()
        record = await proxy.record()
    assert b"begin" in said
    assert not said.endswith(b"0\r\n\r\n")  # it broke off
    assert (record.outcome, record.error_class) == (Outcome.ERROR, "request_too_large")


@pytest.mark.parametrize("on_disconnect", ["abort", "drain"])
async def test_a_client_that_hangs_up_while_its_answer_comes_ends_the_upload(tmp_path: Path, on_disconnect: str):
    settings = {"on_disconnect": on_disconnect}
    async with sink(answers_while_it_takes) as (url, came), gateway(tmp_path, url, settings=settings) as proxy:
        async with sender(proxy, length=2 * MB) as c:
            await _send(c, MB)
            assert await c.status() == 200
            c.writer.transport.abort()
        record = await proxy.record()
        await asyncio.wait_for(came[0].gone.wait(), 60)
    assert not came[0].whole
    assert (record.outcome, record.status, record.error_class) == (Outcome.DISCONNECTED, 200, "client_disconnected")


async def test_a_provider_that_breaks_off_is_told_as_it_is(tmp_path: Path):
    async def breaks(taken: Taken, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await taken.take(reader, MB)
        writer.transport.abort()

    async with sink(breaks) as (url, came), gateway(tmp_path, url) as proxy, sender(proxy, length=LONG) as c:
        for piece in blocks(2 * MB):
            await c.send(piece)
        assert await c.status() == 502
        record = await proxy.record()
    assert (record.outcome, record.status, record.error_class) == (Outcome.ERROR, 502, "provider_broke_off")
    assert 0 < record.request_bytes <= 2 * MB
    assert len(came) == 1


async def test_a_provider_that_takes_nothing_more_is_given_up(tmp_path: Path):
    async def stalls(taken: Taken, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await taken.take(reader, MB)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(3600)

    async with sink(stalls) as (url, _), gateway(tmp_path, url, settings=QUICK) as proxy:
        async with sender(proxy, length=LONG) as c:
            sending = asyncio.get_running_loop().create_task(_send(c, LONG))
            assert await c.status() == 504
            record = await proxy.record()
            sending.cancel()
    assert (record.outcome, record.status, record.error_class) == (Outcome.TIMEOUT, 504, "idle_timeout")
    assert "took nothing more" in record.error_message
    assert MB < record.request_bytes < LONG


async def _send(c: Any, size: int) -> None:
    for piece in blocks(size):
        await c.send(piece)


async def test_a_client_that_sends_nothing_more_is_given_up(tmp_path: Path):
    async with sink() as (url, came), gateway(tmp_path, url, settings=QUICK) as proxy:
        async with sender(proxy, length=2 * MB) as c:
            await _send(c, MB)
            assert await c.status() == 408
            body = json.loads(await c.reader.readuntil(b"}}"))
        record = await proxy.record()
        await asyncio.wait_for(came[0].gone.wait(), 60)
    assert "sent nothing more" in body["error"]["message"]
    assert (record.outcome, record.status, record.error_class) == (Outcome.DISCONNECTED, 408, "client_too_slow")
    assert record.request_bytes == MB


async def test_an_upload_that_makes_progress_is_not_cut_off(tmp_path: Path):
    async with sink() as (url, came), gateway(tmp_path, url, settings=QUICK) as proxy:
        async with sender(proxy, length=MB) as c:
            for piece in blocks(MB):
                await c.send(piece)
                await asyncio.sleep(0.08)  # in all longer than the limit until the answer's first byte
            assert await c.status() == 200
        record = await proxy.record()
    assert came[0].whole
    assert record.duration_ms > QUICK["first_byte_timeout_s"] * 1000


async def test_the_time_for_the_answer_counts_from_the_end_of_the_upload(tmp_path: Path):
    async def hangs(taken: Taken, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await taken.take(reader)
        await asyncio.sleep(3600)

    async with sink(hangs) as (url, _), gateway(tmp_path, url, settings={**QUICK, "idle_timeout_s": 60}) as proxy:
        async with sender(proxy, length=MB) as c:
            await _send(c, MB)
            assert await c.status() == 504
        record = await proxy.record()
    assert (record.outcome, record.error_class, record.request_bytes) == (Outcome.TIMEOUT, "first_byte_timeout", MB)


async def test_an_upload_takes_no_longer_than_a_call_may(tmp_path: Path):
    settings = {"total_timeout_s": 0.5}
    async with sink() as (url, _), gateway(tmp_path, url, settings=settings) as proxy, sender(proxy, length=MB) as c:
        first, *_ = blocks(MB)
        await c.send(first)
        assert await c.status() == 504
        record = await proxy.record()
    assert (record.outcome, record.error_class) == (Outcome.TIMEOUT, "total_timeout")


@pytest.mark.parametrize("on_disconnect", ["abort", "drain"])
async def test_stopping_waits_for_an_upload(tmp_path: Path, on_disconnect: str):
    store, address, opened, stop = TakingStore(), [], asyncio.Event(), asyncio.Event()

    async def live(url: str) -> None:
        async with gateway(tmp_path, url, store=store, settings={"on_disconnect": on_disconnect}) as proxy:
            address.append(proxy)
            opened.set()
            await stop.wait()

    async with sink() as (url, came), asyncio.TaskGroup() as group:
        group.create_task(live(url))
        await opened.wait()
        async with sender(address[0], length=MB) as c:
            first, *rest = blocks(MB)
            await c.send(first)
            await until(lambda: bool(came))
            stop.set()
            await until(lambda: address[0].proxy.forwarder.stopping)
            for piece in rest:
                await c.send(piece)
            assert b"connection: close\r\n" in (await c.head()).lower()
            assert await c.rest() == b'{"id":"file_1"}'
    assert [(row["outcome"], row["request_bytes"]) for row in store.taken] == [("ok", MB)]


@pytest.mark.parametrize("on_disconnect", ["abort", "drain"])
async def test_an_upload_that_outlasts_the_stop_is_interrupted(tmp_path: Path, on_disconnect: str):
    store = TakingStore()
    settings = {"drain_s": 0.05, "on_disconnect": on_disconnect}
    async with sink() as (url, came):
        async with gateway(tmp_path, url, store=store, settings=settings) as proxy:
            async with sender(proxy, length=MB) as c:
                first, *_ = blocks(MB)
                await c.send(first)
                await until(lambda: bool(came) and came[0].size == len(first))
                proxy.proxy.forwarder.stop_taking()
                proxy.proxy.forwarder.interrupt()
                assert await c.rest() == b""
        await asyncio.wait_for(came[0].gone.wait(), 60)
    assert [(row["outcome"], row["request_bytes"]) for row in store.taken] == [("interrupted", len(first))]


def routed(first: str, second: str) -> dict[str, Any]:
    """Two providers; whatever fails at the first is repeated once, and goes to the second."""
    lists = FallbacksConfig(any=(TargetConfig("second"),))
    return {
        "providers": {
            name: ProviderConfig(Protocol.ANTHROPIC, url, name=name)
            for name, url in (("first", first), ("second", second))
        },
        "routes": (RouteConfig("*", "first", retries=0, fallbacks=lists),),
    }


ANTHROPIC = "anthropic-version: 2023-06-01"


async def test_an_upload_that_nothing_was_taken_of_goes_elsewhere(tmp_path: Path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with sink() as (url, came), gateway(tmp_path, nobody, **routed(nobody, url)) as proxy:
            async with sender(proxy, ANTHROPIC, length=MB) as c:
                await _send(c, MB)
                assert await c.status() == 200
            await until(lambda: len(proxy.records) == 2)
    failed, served = proxy.records
    assert came[0].hash == hash_of(blocks(MB))
    assert (failed.error_class, failed.request_bytes) == ("provider_unreachable", 0)
    assert (served.outcome, served.cause, served.request_bytes) == (Outcome.OK, Cause.FALLBACK, MB)


async def test_an_upload_that_has_begun_is_never_sent_again(tmp_path: Path):
    busy = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'

    async def is_busy(taken: Taken, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await taken.take(reader)
        writer.write(answer(busy, status="529 Overloaded"))

    async with sink(is_busy) as (first, _), sink() as (second, elsewhere):
        async with gateway(tmp_path, first, **routed(first, second)) as proxy:
            async with sender(proxy, ANTHROPIC, length=MB) as c:
                await _send(c, MB)
                assert await c.status() == 529
                assert await c.reader.readexactly(len(busy)) == busy
            record = await proxy.record()
            headers = {"anthropic-version": "2023-06-01"}
            async with client() as other, other.post(f"{proxy.url}/v1/files", data=b"short", headers=headers) as got:
                assert got.status == 200  # what is short was read, and can be sent again
    assert (record.error_class, record.status, record.request_bytes) == ("overloaded_error", 529, MB)
    assert [taken.size for taken in elsewhere] == [5]


async def test_a_put_on_a_connection_that_has_just_closed_is_not_sent_again_in_part(tmp_path: Path):
    async def closes_on_the_second(taken: Taken, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(came) == 1:
            await takes_all(taken, reader, writer)
            return
        await taken.take(reader, 64 * 1024)
        writer.transport.abort()

    async with sink(closes_on_the_second) as (url, came), gateway(tmp_path, url) as proxy:
        for status in (200, 502):
            async with sender(proxy, length=2 * MB, path="/openai/v1/elsewhere", method="PUT") as c:
                sending = asyncio.get_running_loop().create_task(_send(c, 2 * MB))
                assert await c.status() == status
                sending.cancel()
        await until(lambda: len(proxy.records) == 2)
    assert len(came) == 2


@pytest.mark.parametrize("path", ["/v1/files", "/openai/v1/audio/transcriptions"])
async def test_budgets_see_an_upload_as_they_saw_it_when_it_was_read(tmp_path: Path, path: str):
    begin_counting(tmp_path, [budget(amount_usd=1000)])
    async with sink() as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        outcomes = []
        for size in (AT_ONCE_BYTES, 2 * AT_ONCE_BYTES):
            async with c.post(f"{proxy.url}{path}", data=b"x" * size) as got:
                outcomes.append((got.status, got.headers.get("x-claude-proxy-error")))
    assert outcomes[0] == outcomes[1]
