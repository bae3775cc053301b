"""Calls that end badly: the client gets an answer of its protocol or sees the break, and one record says what was."""

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest

from data.model import CostStatus, LedgerRecord, Outcome
from tests.proxy.gateway import Gateway, Seen, answer, chunked, client, gateway, provider, until
from tests.proxy.samples import EVENTS, MESSAGE, MESSAGES, STREAMED

OVERLOADED = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
QUICK = {"connect_timeout_s": 0.3, "first_byte_timeout_s": 0.3, "idle_timeout_s": 0.3}


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing until the other side hangs up."""
    await reader.read()
    writer.close()


def then_hang(head: bytes):
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await reader.read()
        writer.close()

    return script


def then_close(head: bytes):
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await writer.drain()
        writer.close()

    return script


def is_free(record: LedgerRecord) -> bool:
    return (record.cost_usd, record.cost_status) == (Decimal(0), CostStatus.EXACT)


@pytest.mark.parametrize(
    ("status", "body", "error_class"),
    [
        ("529 Overloaded", OVERLOADED, "overloaded_error"),
        ("429 Too Many Requests", OVERLOADED.replace(b"overloaded_error", b"rate_limit_error"), "rate_limit_error"),
        ("500 Oops", b"<html>", "http_500"),
        ("400 Bad Request", b"", "http_400"),
    ],
)
async def test_a_providers_error_passes_and_is_free(tmp_path: Path, status: str, body: bytes, error_class: str):
    wire = answer(body, status=status, headers="retry-after: 7\r\n")
    async with provider(wire) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=STREAMED) as got:
            assert f"{got.status} {got.reason}" == status
            assert await got.read() == body
            assert got.headers["retry-after"] == "7"
        record = await proxy.record()
    assert (record.outcome, record.status, record.error_class) == (Outcome.ERROR, int(status[:3]), error_class)
    assert is_free(record)


async def test_an_error_event_inside_a_stream(tmp_path: Path):
    event = b"event: error\ndata: " + OVERLOADED + b"\n\n"
    async with (
        provider(chunked(EVENTS[0], EVENTS[1], event)) as (url, _),
        gateway(tmp_path, url) as proxy,
        client() as c,
    ):
        async with c.post(f"{proxy.url}/v1/messages", data=STREAMED) as got:
            assert (await got.read()).endswith(event)
        record = await proxy.record()
    assert (record.outcome, record.status, record.error_class) == (Outcome.ERROR, 200, "overloaded_error")
    assert (record.uncached_input_tokens, record.cost_status) == (10, CostStatus.ESTIMATED)


async def test_a_provider_that_cannot_be_reached(tmp_path: Path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with gateway(tmp_path, url) as proxy, client() as c:
            async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
                assert got.status == 502
                error = json.loads(await got.read())
            record = await proxy.record()
    assert (error["type"], error["error"]["type"]) == ("error", "api_error")
    assert "anthropic" in error["error"]["message"]
    assert (record.outcome, record.status, record.error_class) == (Outcome.ERROR, 502, "provider_unreachable")
    assert is_free(record)


async def test_a_provider_that_hangs_up_without_an_answer(tmp_path: Path):
    async with provider(then_close(b"")) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/chat/completions", data=MESSAGES) as got:
            assert got.status == 502
            assert json.loads(await got.read())["error"]["type"] == "server_error"
        record = await proxy.record()
    assert (record.outcome, record.error_class) == (Outcome.ERROR, "provider_broke_off")


async def test_a_provider_that_speaks_no_http(tmp_path: Path):
    async with (
        provider(then_close(b"220 smtp ready\r\n\r\n")) as (url, _),
        gateway(tmp_path, url) as proxy,
        client() as c,
    ):
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert got.status == 502
        assert (await proxy.record()).outcome is Outcome.ERROR


async def test_a_provider_that_never_answers(tmp_path: Path):
    async with provider(hang) as (url, seen), gateway(tmp_path, url, settings=QUICK) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert got.status == 504
            assert json.loads(await got.read())["error"]["type"] == "timeout_error"
        record = await proxy.record()
        await asyncio.wait_for(seen.gone.wait(), 60)
    assert (record.outcome, record.status, record.error_class) == (Outcome.TIMEOUT, 504, "first_byte_timeout")
    assert record.uncached_input_tokens > 0
    assert record.cost_status is CostStatus.ESTIMATED


async def test_a_stream_that_falls_silent(tmp_path: Path):
    script = then_hang(chunked(*EVENTS[:2], end=False))
    async with provider(script) as (url, _), gateway(tmp_path, url, settings=QUICK) as proxy, client() as c:
        await read_broken(c, proxy, b"".join(EVENTS[:2]))
        record = await proxy.record()
    assert (record.outcome, record.status, record.error_class) == (Outcome.TIMEOUT, 200, "idle_timeout")
    assert (record.uncached_input_tokens, record.output_tokens) == (10, 2)


async def read_broken(c: aiohttp.ClientSession, proxy: Gateway, expected: bytes) -> None:
    """The client gets what came, and sees that it is not all."""
    async with c.post(f"{proxy.url}/v1/messages", data=STREAMED) as got:
        assert await got.content.readexactly(len(expected)) == expected
        with pytest.raises(aiohttp.ClientPayloadError):
            await got.content.read()


async def test_a_stream_that_breaks_off(tmp_path: Path):
    script = then_close(chunked(*EVENTS[:2], end=False))
    async with provider(script) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        await read_broken(c, proxy, b"".join(EVENTS[:2]))
        record = await proxy.record()
    assert (record.outcome, record.error_class) == (Outcome.PARTIAL, "provider_broke_off")
    assert (record.uncached_input_tokens, record.output_tokens, record.cost_status) == (10, 2, CostStatus.ESTIMATED)


async def test_a_stream_that_breaks_off_after_its_last_event_was_complete(tmp_path: Path):
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(*EVENTS, end=False))
        await writer.drain()
        await asyncio.wait_for(told.wait(), 60)
        writer.close()

    told = asyncio.Event()
    async with provider(script) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=STREAMED) as got:
            assert await got.content.readexactly(len(b"".join(EVENTS))) == b"".join(EVENTS)
            told.set()
            with pytest.raises(aiohttp.ClientPayloadError):
                await got.content.read()
        record = await proxy.record()
    assert (record.outcome, record.output_tokens, record.cost_status) == (Outcome.OK, 7, CostStatus.EXACT)


async def test_a_stream_without_its_last_event(tmp_path: Path):
    async with provider(chunked(*EVENTS[:2])) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=STREAMED) as got:
            assert await got.read() == b"".join(EVENTS[:2])
        record = await proxy.record()
    assert (record.outcome, record.error_class) == (Outcome.PARTIAL, "incomplete_stream")


async def test_an_answer_shorter_than_its_content_length(tmp_path: Path):
    script = then_close(answer(MESSAGE)[:-20])
    async with provider(script) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        try:
            async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
                if got.status == 200:
                    with pytest.raises(aiohttp.ClientPayloadError):
                        await got.read()
        except aiohttp.ServerDisconnectedError:
            pass
        record = await proxy.record()
    assert record.outcome in {Outcome.PARTIAL, Outcome.ERROR}


async def test_an_answer_that_is_no_json(tmp_path: Path):
    async with provider(answer(b"\xff\x00garbage")) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert await got.read() == b"\xff\x00garbage"
        record = await proxy.record()
    assert (record.outcome, record.status, record.error_class) == (Outcome.ERROR, 200, "unreadable_answer")
    assert record.cost_status is CostStatus.ESTIMATED
    assert record.uncached_input_tokens > 0


@pytest.mark.parametrize(
    "wire",
    [
        answer(MESSAGE)[:-20],
        chunked(EVENTS[0], end=False) + b"zz\r\nxx",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["short", "bad chunk after the start", "bad chunk"],
)
async def test_an_answer_that_breaks_is_never_taken_for_free(tmp_path: Path, wire: bytes):
    async with provider(then_close(wire)) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        with suppress(aiohttp.ClientError):
            async with c.post(f"{proxy.url}/v1/messages", data=STREAMED) as got:
                await got.read()
        record = await proxy.record()
    assert (record.outcome, record.error_class) == (Outcome.PARTIAL, "provider_broke_off")
    assert record.cost_status is CostStatus.ESTIMATED
    assert record.cost_usd


@pytest.mark.parametrize("status", ["204 No Content", "302 Found", "304 Not Modified", "700 Odd"])
async def test_a_status_that_is_no_answer(tmp_path: Path, status: str):
    body = b"" if status[:3] in {"204", "304"} else MESSAGE
    async with provider(answer(body, status=status)) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES, allow_redirects=False) as got:
            assert f"{got.status} {got.reason}" == status
        record = await proxy.record()
    assert (record.outcome, record.status, record.error_class) == (Outcome.ERROR, int(status[:3]), "unexpected_status")
    assert is_free(record)


async def test_a_protocol_nobody_asked_for(tmp_path: Path):
    wire = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello"
    async with provider(then_close(wire)) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert got.status == 502
            assert json.loads(await got.read())["type"] == "error"
        record = await proxy.record()
    assert (record.outcome, record.status, record.error_class) == (Outcome.ERROR, 502, "unexpected_status")
    assert is_free(record)


@pytest.mark.parametrize("body", [b"{broken", b"[]", b"\xff", b"", b'{"model":7}'])
async def test_a_body_nobody_understands_goes_to_the_first_provider(tmp_path: Path, body: bytes):
    wire = answer(OVERLOADED, status="400 Bad Request")
    async with provider(wire) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=body) as got:
            assert got.status == 400
        record = await proxy.record()
    assert seen.bodies == [body]
    assert (record.model_requested, record.outcome) == ("", Outcome.ERROR)


async def hang_up(proxy: Gateway, seen: Seen, *, when: Callable[[bytes], bool], body: bytes = STREAMED) -> None:
    """A client that sends its request, reads until `when` says so, and hangs up."""
    host, port = proxy.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    await until(lambda: bool(seen.bodies))
    read = b""
    while not when(read):
        read += await asyncio.wait_for(reader.read(1000), 60)
    writer.transport.abort()


async def test_a_client_that_hangs_up_before_the_answer(tmp_path: Path):
    async with provider(hang) as (url, seen), gateway(tmp_path, url) as proxy:
        await hang_up(proxy, seen, when=lambda _: True)
        record = await proxy.record()
        await asyncio.wait_for(seen.gone.wait(), 60)
    assert (record.outcome, record.status) == (Outcome.DISCONNECTED, 0)
    assert record.uncached_input_tokens > 0
    assert record.cost_status is CostStatus.ESTIMATED


async def test_a_client_that_hangs_up_in_the_middle_ends_the_providers_work(tmp_path: Path):
    script = then_hang(chunked(*EVENTS[:2], end=False))
    async with provider(script) as (url, seen), gateway(tmp_path, url) as proxy:
        await hang_up(proxy, seen, when=lambda read: b"hello" in read)
        record = await proxy.record()
        await asyncio.wait_for(seen.gone.wait(), 60)
    assert (record.outcome, record.status) == (Outcome.DISCONNECTED, 200)
    assert (record.uncached_input_tokens, record.output_tokens, record.cost_status) == (10, 2, CostStatus.ESTIMATED)


async def test_a_client_that_hangs_up_after_the_last_event_got_everything(tmp_path: Path):
    script = then_hang(chunked(*EVENTS, end=False))
    async with provider(script) as (url, seen), gateway(tmp_path, url) as proxy:
        await hang_up(proxy, seen, when=lambda read: b"message_stop" in read)
        record = await proxy.record()
    assert (record.outcome, record.output_tokens, record.cost_status) == (Outcome.OK, 7, CostStatus.EXACT)


@pytest.mark.parametrize("early", [True, False], ids=["before the answer", "in the middle"])
async def test_draining_reads_the_rest_for_its_counts(tmp_path: Path, *, early: bool):
    left = asyncio.Event()

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole = chunked(*EVENTS)
        cut = 0 if early else whole.index(b"message_delta")
        writer.write(whole[:cut])
        await asyncio.wait_for(left.wait(), 60)
        writer.write(whole[cut:])
        await writer.drain()

    async with provider(script) as (url, seen), gateway(tmp_path, url, settings={"on_disconnect": "drain"}) as proxy:
        await hang_up(proxy, seen, when=lambda read: early or b"hello" in read)
        left.set()
        record = await proxy.record()
    assert record.outcome is Outcome.DISCONNECTED
    assert (record.uncached_input_tokens, record.output_tokens, record.cost_status) == (10, 7, CostStatus.EXACT)


async def test_draining_leaves_whole_answers_alone(tmp_path: Path):
    settings = {"on_disconnect": "drain"}
    async with (
        provider(chunked(*EVENTS)) as (url, _),
        gateway(tmp_path, url, settings=settings) as proxy,
        client() as c,
    ):
        async with c.post(f"{proxy.url}/v1/messages", data=STREAMED) as got:
            assert await got.read() == b"".join(EVENTS)
        assert (await proxy.record()).outcome is Outcome.OK


async def test_a_client_that_does_not_read_holds_back_the_provider_and_is_given_up(tmp_path: Path):
    sent = 0

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(chunked(EVENTS[0], end=False))
        piece = b"event: ping\ndata: " + b"x" * 65_000 + b"\n\n"
        for _ in range(2000):
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            sent += len(piece)

    async with provider(flood) as (url, seen), gateway(tmp_path, url, settings=QUICK) as proxy:
        host, port = proxy.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1000)
        request = b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
        writer.write(request % (len(STREAMED), STREAMED))
        writer.transport.pause_reading()
        record = await proxy.record()
        await asyncio.wait_for(seen.gone.wait(), 60)
        writer.transport.abort()
    assert (record.outcome, record.error_class) == (Outcome.DISCONNECTED, "client_too_slow")
    assert sent < 60_000_000
    assert reader is not None


async def test_a_body_over_the_limit_is_refused_unread(tmp_path: Path):
    limit = {"max_body_bytes": 1000}
    async with provider(answer(MESSAGE)) as (url, seen), gateway(tmp_path, url, settings=limit) as proxy, client() as c:
        for body in (b"x" * 1001, pieces(11, 100)):
            async with c.post(f"{proxy.url}/v1/messages", data=body) as got:
                assert got.status == 413
                assert json.loads(await got.read())["error"]["type"] == "request_too_large"
        async with c.post(f"{proxy.url}/v1/messages", data=b"x" * 1000) as got:
            assert got.status == 200
    assert len(seen.bodies) == len(proxy.records) == 1


async def pieces(count: int, size: int):
    for _ in range(count):
        yield b"x" * size


async def test_a_request_that_breaks_off_is_not_sent_on(tmp_path: Path):
    async with provider(answer(MESSAGE)) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        host, port = proxy.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{")
        await writer.drain()
        writer.transport.abort()
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert got.status == 200
        await proxy.record()
    assert seen.bodies == [MESSAGES]


async def test_a_ledger_that_takes_nothing_sends_nothing_on(tmp_path: Path):
    async with provider(answer(MESSAGE)) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        ledger = proxy.proxy.forwarder._means.books.ledger
        works = ledger.start
        ledger.start = lambda _: (_ for _ in ()).throw(OSError("no space left"))  # type: ignore[method-assign]
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert (got.status, got.headers["retry-after"]) == (503, "5")
            assert json.loads(await got.read())["error"]["type"] == "overloaded_error"
        async with c.get(f"{proxy.url}/health") as got:
            assert got.status == 503
        ledger.start = works  # type: ignore[method-assign]
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert got.status == 200
        async with c.get(f"{proxy.url}/health") as got:
            assert got.status == 200
    assert len(seen.bodies) == 1


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-Evil: a\rb\r\n",
        b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-Odd: \xff\xfe\r\n",
        b"POST /v1/messages\xff HTTP/1.1\r\nHost: x\r\n",
        b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n",
        b"POST http://elsewhere/v1/messages HTTP/1.1\r\nHost: x\r\n",
    ],
    ids=["lone CR", "no UTF-8", "path", "two lengths", "absolute"],
)
async def test_strange_heads_do_no_harm(tmp_path: Path, head: bytes):
    async with provider(answer(MESSAGE)) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        host, port = proxy.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head + b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(MESSAGES), MESSAGES))
        got = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        assert got.split(b" ")[1] in {b"200", b"400", b"404"}
        assert b"Traceback" not in got
        assert all(b"Evil: a\r" not in sent for sent in seen.heads)
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as answered:
            assert answered.status == 200
        assert len(proxy.records) == len(seen.bodies)
