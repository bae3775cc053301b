"""Requests with a content coding under budgets and keys: what they ask for is read like that of any other."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import brotli
import pytest
from backports import zstd
from multidict import CIMultiDict

from data.config import BudgetsConfig
from tests.proxy.budget_worlds import begin_counting, budget
from tests.proxy.gateway import answer, client, gateway, provider
from tests.proxy.samples import MESSAGE
from tests.proxy.test_keys import make, stack

MODEL = "claude-sonnet-4-5"
CODERS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstd.compress}
MESSAGES = "/v1/messages"
GEMINI = "/v1beta/models/gemini-2.5-flash:generateContent"
BATCHES = "/v1/messages/batches"


def message(**more: Any) -> bytes:
    asked = {"model": MODEL, "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}], **more}
    return json.dumps(asked).encode()


async def ask(session, url: str, path: str, body: bytes, coding: str, **headers: str) -> tuple[int, str, str]:
    headers["Content-Encoding"] = coding
    async with session.post(url + path, data=body, headers=headers) as got:
        return got.status, got.headers.get("x-claude-proxy-error", ""), await got.text()


@pytest.mark.parametrize("coding", CODERS)
async def test_a_coded_call_is_held_for_what_it_asks(tmp_path: Path, coding: str):
    opus = {"model": "claude-opus-4-5", "max_tokens": 900_000}  # $22.50
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 1000}
    bodies = [message(), message(fallbacks=[opus]), message(tools=[search])]
    begin_counting(tmp_path, [budget(amount_usd=2)])
    async with provider(answer(MESSAGE)) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        found = [await ask(c, proxy.url, MESSAGES, CODERS[coding](body), coding) for body in bodies]
        held = [said.rsplit("may cost up to $")[1].split(".")[0] for _, _, said in found[1:]]
    assert [(status, code) for status, code, _ in found] == [(200, ""), *[(429, "budget_exceeded")] * 2]
    assert held[0] == "22"
    assert int(held[1].replace(",", "")) > 1_000
    assert len(seen.bodies) == 1


async def test_a_coded_batch_is_held_for_its_calls(tmp_path: Path):
    batch = json.dumps({"requests": [{"custom_id": "a", "params": json.loads(message())}]}).encode()
    begin_counting(tmp_path, [budget()])
    made = answer(b'{"id":"msgbatch_1","type":"message_batch","processing_status":"in_progress"}')
    async with provider(made) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        status, _, said = await ask(c, proxy.url, BATCHES, gzip.compress(batch), "gzip")
        assert (status, len(seen.bodies)) == (200, 1), said
        async with c.get(f"{proxy.url}/api/budget/status") as got:
            assert (await got.json())["items"][0]["groups"][0]["held_by_batches_usd"] > 0


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (gzip.compress(message(system="x" * 9 * 1024 * 1024)), "gzip"),
        (message(), "gzip"),
        (message(), "secret-sauce"),
        (gzip.compress(gzip.compress(message())), "gzip, gzip"),
    ],
    ids=["too long", "not gzip", "unknown", "twice"],
)
@pytest.mark.parametrize("path", [MESSAGES, GEMINI])
@pytest.mark.parametrize("scope", [{}, {"kind": "model", "value": "*"}], ids=["of all", "of each model"])
async def test_what_cannot_be_decoded_is_not_sent_under_a_hard_budget(
    tmp_path: Path, body: bytes, coding: str, path: str, scope: dict[str, str]
):
    begin_counting(tmp_path, [budget("strict", scope=scope, amount_usd=1_000)])
    settings = BudgetsConfig(unpriced="allow")
    async with (
        provider(answer(MESSAGE)) as (url, seen),
        gateway(tmp_path, url, budgets=settings) as proxy,
        client() as c,
    ):
        status, code, said = await ask(c, proxy.url, path, body, coding)
    assert (status, code, seen.bodies) == (429, "budget_unpriced", [])
    assert "'strict'" in said
    assert "send it plain, or as gzip" in said


@pytest.mark.parametrize("first", ["gzip", "identity"])
async def test_a_coding_in_a_second_header_is_seen(tmp_path: Path, first: str):
    body = message() if first == "identity" else gzip.compress(message())
    headers = CIMultiDict([("Content-Encoding", first), ("Content-Encoding", "gzip")])
    begin_counting(tmp_path, [budget(amount_usd=1_000)])
    async with provider(answer(MESSAGE)) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(proxy.url + GEMINI, data=gzip.compress(body), headers=headers) as got:
            assert (got.status, got.headers["x-claude-proxy-error"]) == (429, "budget_unpriced")
    assert seen.bodies == []


async def test_what_cannot_be_decoded_passes_where_nobody_counts_or_limits_it(tmp_path: Path):
    begin_counting(tmp_path, [budget(enforcement="soft")])
    async with provider(answer(MESSAGE)) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        status, _, said = await ask(c, proxy.url, MESSAGES, b"?", "secret-sauce")
    assert (status, seen.bodies) == (200, [b"?"]), said


async def test_a_key_for_certain_models_is_held_to_them_in_coded_calls(running, config):
    advisor = {"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-4-5"}
    bodies = [
        (gzip.compress(message()), "gzip", 200),
        (gzip.compress(message(fallbacks=[{"model": "claude-opus-4-5"}])), "gzip", 403),
        (zstd.compress(message(tools=[advisor])), "zstd", 403),
        (message(), "secret-sauce", 403),
    ]
    async with stack(config) as (proxy, c, seen):
        secret = await make(c, proxy, name="ci", models=["claude-sonnet-*"])
        asked = [(await ask(c, proxy.url, MESSAGES, b, coding, **{"x-api-key": secret})) for b, coding, _ in bodies]
    assert [status for status, _, _ in asked] == [status for _, _, status in bodies]
    assert "send it plain, or as gzip" in asked[-1][2]
    assert "send it plain" not in asked[1][2]
    assert len(seen.bodies) == 1


async def test_the_tokens_of_a_coded_call_are_estimated_from_its_text(tmp_path: Path):
    body = message(system="word " * 10_000)
    unread = answer(b"?", headers="Content-Encoding: secret-sauce\r\n")
    async with provider(unread) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        headers = {"Content-Encoding": "gzip"}
        async with c.post(proxy.url + MESSAGES, data=gzip.compress(body), headers=headers, auto_decompress=False):
            record = await proxy.record()
    assert record.request_bytes < 1_000
    assert record.uncached_input_tokens > 10_000
