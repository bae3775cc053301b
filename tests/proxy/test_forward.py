"""Calls that end well: the same bytes on both sides, and one exact record."""

import gzip
import re
from decimal import Decimal
from pathlib import Path

import pytest

from data.model import CostStatus, Endpoint, Outcome, Protocol
from tests.proxy.gateway import answer, chunked, client, gateway, provider
from tests.proxy.samples import CHAT, CHAT_EVENTS, CHAT_USAGE, DONE, EVENTS, MESSAGE, MESSAGES, STREAMED


async def test_a_plain_call_passes_byte_for_byte(tmp_path: Path):
    wire = answer(MESSAGE, headers="request-id: req_1\r\nX-Odd: caf\u00e9\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n")
    async with provider(wire) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        headers = {
            "x-api-key": "sk-1",
            "anthropic-beta": "x",
            "Accept-Encoding": "zstd",
            "Content-Type": "application/json",
        }
        async with c.post(f"{proxy.url}/v1/messages?beta=true&a=%20b", data=MESSAGES, headers=headers) as got:
            assert (got.status, got.reason, await got.read()) == (200, "OK", MESSAGE)
            record = await proxy.record()
            assert list(got.headers.items()) == [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(MESSAGE))),
                ("request-id", "req_1"),
                ("X-Odd", "caf\u00e9"),
                ("Set-Cookie", "a=1"),
                ("Set-Cookie", "b=2"),
                ("x-claude-proxy-request-id", record.request_id),
                ("x-claude-proxy-provider", "anthropic"),
                ("x-claude-proxy-model", "claude-sonnet-4-5"),
            ]
        assert seen.bodies == [MESSAGES]
        head = seen.heads[0].decode()
        assert head.startswith("POST /v1/messages?beta=true&a=%20b HTTP/1.1\r\n")
        for line in ("x-api-key: sk-1", "anthropic-beta: x", "Accept-Encoding: zstd", "Content-Type: application/json"):
            assert f"\r\n{line}\r\n" in head


async def test_the_record_of_a_plain_call(tmp_path: Path):
    wire = answer(MESSAGE, headers="request-id: req_1\r\n")
    async with provider(wire) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        headers = {"x-claude-proxy-project": "apollo", "x-claude-proxy-tags": "a=b", "x-api-key": "sk-1"}
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES, headers=headers) as got:
            await got.read()
        record = await proxy.record()
    assert (record.protocol, record.endpoint, record.provider) == (Protocol.ANTHROPIC, Endpoint.MESSAGES, "anthropic")
    assert (record.outcome, record.status, record.stream, record.ttft_ms) == (Outcome.OK, 200, False, None)
    assert (record.uncached_input_tokens, record.output_tokens) == (10, 5)
    assert (record.cost_usd, record.cost_status) == (Decimal("0.000105"), CostStatus.EXACT)
    assert (record.project, record.tags, record.provider_request_id) == ("apollo", {"a": "b"}, "req_1")
    assert (record.request_bytes, record.response_bytes) == (len(MESSAGES), len(MESSAGE))
    assert 0 < record.overhead_ms <= record.duration_ms
    assert record.started_at <= record.ended_at


async def test_our_own_headers_and_the_secret_stay_here(tmp_path: Path):
    async with (
        provider(answer(MESSAGE)) as (url, seen),
        gateway(tmp_path, url, api_key="sk-own") as proxy,
        client() as c,
    ):
        headers = {"x-claude-proxy-team": "blue", "x-api-key": "sk-callers-secret", "authorization": "Bearer other"}
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES, headers=headers) as got:
            await got.read()
        head = seen.heads[0].lower()
        assert b"x-claude-proxy" not in head
        assert b"callers" not in head
        assert b"bearer" not in head
        assert b"\r\nx-api-key: sk-own\r\n" in head
        assert "secret" not in str(await proxy.record())


async def test_a_request_without_headers_gets_none_added(tmp_path: Path):
    async with provider(answer(MESSAGE)) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        bare = dict.fromkeys(("User-Agent", "Accept", "Accept-Encoding", "Content-Type"))
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES, skip_auto_headers=bare) as got:
            await got.read()
    names = re.findall(rb"\r\n([\w-]+):", seen.heads[0])
    assert names == [b"Host", b"Content-Length"]


async def test_an_event_stream_passes_byte_for_byte(tmp_path: Path):
    async with provider(chunked(*EVENTS)) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=STREAMED) as got:
            assert await got.read() == b"".join(EVENTS)
            assert got.headers["Content-Type"] == "text/event-stream"
            assert "Content-Length" not in got.headers
        record = await proxy.record()
    assert (record.outcome, record.stream, record.stop_reason) == (Outcome.OK, True, "end_turn")
    assert (record.uncached_input_tokens, record.output_tokens) == (10, 7)
    assert record.cost_status is CostStatus.EXACT
    assert record.ttft_ms is not None
    assert 0 < record.ttft_ms <= record.duration_ms


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_a_stream_cut_anywhere_passes_unchanged(tmp_path: Path, size: int):
    whole = b"".join(EVENTS)
    pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
    async with provider(chunked(*pieces)) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=STREAMED) as got:
            assert await got.read() == whole
        assert (await proxy.record()).output_tokens == 7


async def test_coded_answers_stay_coded_and_are_counted(tmp_path: Path):
    coded = gzip.compress(MESSAGE)
    wire = answer(coded, headers="Content-Encoding: gzip\r\n")
    async with provider(wire) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert await got.read() == coded
            assert got.headers["Content-Encoding"] == "gzip"
        record = await proxy.record()
    assert (record.output_tokens, record.cost_status) == (5, CostStatus.EXACT)


async def test_a_coding_nobody_can_read_passes_and_is_estimated(tmp_path: Path):
    wire = answer(b"\x01\x02", headers="Content-Encoding: secret-sauce\r\n")
    async with provider(wire) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert await got.read() == b"\x01\x02"
        record = await proxy.record()
    assert (record.outcome, record.cost_status) == (Outcome.OK, CostStatus.ESTIMATED)
    assert record.uncached_input_tokens > 0
    assert "secret-sauce" in record.cost_note


async def test_a_coded_request_passes_unread_bytes_and_still_tells_its_model(tmp_path: Path):
    coded = gzip.compress(MESSAGES)
    async with provider(answer(MESSAGE)) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=coded, headers={"Content-Encoding": "gzip"}) as got:
            await got.read()
        assert seen.bodies == [coded]
        assert b"\r\nContent-Encoding: gzip\r\n" in seen.heads[0]
        assert (await proxy.record()).model_requested == "claude-sonnet-4-5"


async def test_a_large_body_passes_unchanged(tmp_path: Path):
    body = MESSAGES[:-1] + b',"pad":"' + b"x" * 3_000_000 + b'"}'
    async with provider(answer(MESSAGE)) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=iter_pieces(body)) as got:
            assert await got.read() == MESSAGE
        assert seen.bodies == [body]
        assert (await proxy.record()).request_bytes == len(body)


async def iter_pieces(body: bytes, size: int = 50_000):
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def test_a_large_answer_passes_unchanged(tmp_path: Path):
    body = MESSAGE[:-1] + b',"pad":"' + b"x" * 3_000_000 + b'"}'
    async with provider(answer(body)) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert await got.read() == body
        assert (await proxy.record()).output_tokens == 5


async def test_counting_tokens_and_listing_models_cost_nothing(tmp_path: Path):
    async with provider(answer(b'{"input_tokens":12}')) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        calls = [
            c.post(f"{proxy.url}/v1/messages/count_tokens", data=MESSAGES),
            c.get(f"{proxy.url}/v1/models?limit=5", headers={"anthropic-version": "2023-06-01"}),
            c.get(f"{proxy.url}/v1/models/org%2Fmodel", headers={"authorization": "Bearer k"}),
        ]
        for call in calls:
            async with call as got:
                assert await got.read() == b'{"input_tokens":12}'
    assert [r.endpoint for r in proxy.records] == [Endpoint.COUNT_TOKENS, Endpoint.MODELS, Endpoint.MODELS]
    assert [r.provider for r in proxy.records] == ["anthropic", "anthropic", "openai"]
    assert {(r.cost_usd, r.cost_status) for r in proxy.records} == {(Decimal(0), CostStatus.EXACT)}
    assert [head.split(b" ")[1] for head in seen.heads[1:]] == [b"/v1/models?limit=5", b"/v1/models/org%2Fmodel"]


async def test_a_chat_stream_is_asked_for_its_counts_which_stay_hidden(tmp_path: Path):
    wire = chunked(*CHAT_EVENTS, CHAT_USAGE, DONE)
    async with provider(wire) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/chat/completions", data=CHAT) as got:
            assert await got.read() == b"".join(CHAT_EVENTS) + DONE
        record = await proxy.record()
    assert b'"include_usage":true' in seen.bodies[0]
    assert (record.uncached_input_tokens, record.output_tokens, record.cost_status) == (3, 2, CostStatus.EXACT)
    assert record.request_bytes == len(CHAT)


async def test_a_hidden_chunk_stays_hidden_in_a_coded_stream(tmp_path: Path):
    coded = gzip.compress(b"".join((*CHAT_EVENTS, CHAT_USAGE, DONE)))
    wire = chunked(coded[:40], coded[40:], headers="Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\n")
    async with provider(wire) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/chat/completions", data=CHAT) as got:
            assert await got.read() == b"".join(CHAT_EVENTS) + DONE
            assert "Content-Encoding" not in got.headers
        assert (await proxy.record()).output_tokens == 2
    assert b"\r\nAccept-Encoding: identity\r\n" in seen.heads[0]


async def test_a_chat_stream_that_asked_for_its_counts_gets_them(tmp_path: Path):
    asking = CHAT[:-1] + b',"stream_options":{"include_usage":true}}'
    wire = chunked(*CHAT_EVENTS, CHAT_USAGE, DONE)
    async with provider(wire) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        got = await c.post(f"{proxy.url}/v1/chat/completions", data=asking)
        assert await got.read() == b"".join((*CHAT_EVENTS, CHAT_USAGE, DONE))
    assert seen.bodies == [asking]


async def test_the_record_is_written_before_the_answer_ends(tmp_path: Path):
    async with provider(answer(MESSAGE)) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        for number in range(1, 21):
            async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
                await got.read()
            assert len(proxy.records) == number


async def test_connections_to_the_provider_are_used_again(tmp_path: Path):
    async with provider(answer(MESSAGE)) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        for _ in range(3):
            async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
                await got.read()
        assert len(seen.heads) == 3
        assert not seen.gone.is_set()
