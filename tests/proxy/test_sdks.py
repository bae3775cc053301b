"""The real SDKs through the proxy to the simulated provider: what they get is right, and so is the ledger."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import anthropic
import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from data.model import CostStatus, Endpoint, LedgerRecord, Outcome
from proxy.simulated.server import BOOKS, make_app
from proxy.simulated.settings import SimulatedSettings
from tests.proxy.gateway import Gateway, gateway, until

CLAUDE, GPT = "claude-opus-5-5", "gpt-4o"
HELLO = [{"role": "user", "content": "Why is the sky blue?"}]
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\x00" * 60).decode()


@pytest.fixture
def app() -> web.Application:
    return make_app(SimulatedSettings(speed=0))


@pytest.fixture
async def proxy(app: web.Application, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with TestServer(app) as server, gateway(tmp_path, str(server.make_url("")).rstrip("/")) as running:
        yield running


@pytest.fixture
async def claude(proxy: Gateway) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(api_key="key", base_url=proxy.url, max_retries=0) as client:
        yield client


@pytest.fixture
async def gpt(proxy: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key="key", base_url=f"{proxy.url}/v1", max_retries=0) as client:
        yield client


def steer(text: str) -> dict[str, str]:
    return {"x-simulate": text}


def counts(record: LedgerRecord) -> tuple[int, ...]:
    return (
        record.uncached_input_tokens,
        record.cache_read_tokens,
        record.cache_write_5m_tokens,
        record.cache_write_1h_tokens,
        record.output_tokens,
    )


ALL = steer("input=374,output=44,cache_read=1000,cache_write_5m=20,cache_write_1h=30")


async def test_a_message(claude, proxy: Gateway):
    message = await claude.messages.create(model=CLAUDE, max_tokens=100, messages=HELLO, extra_headers=ALL)
    assert message.usage.output_tokens == 44
    record = await proxy.record()
    assert counts(record) == (374, 1000, 20, 30, 44)
    assert (record.endpoint, record.outcome, record.cost_status) == (Endpoint.MESSAGES, Outcome.OK, CostStatus.EXACT)
    assert (record.model, record.stop_reason) == (message.model, message.stop_reason)
    assert record.provider_request_id == message._request_id


async def test_a_streamed_message(claude, proxy: Gateway):
    async with claude.messages.stream(model=CLAUDE, max_tokens=100, messages=HELLO, extra_headers=ALL) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        message = await stream.get_final_message()
    assert text == message.content[0].text
    record = await proxy.record()
    assert counts(record) == (374, 1000, 20, 30, 44)
    assert record.stream
    assert record.ttft_ms is not None


async def test_tools_and_images(claude, proxy: Gateway):
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    message = await claude.messages.create(
        model=CLAUDE,
        max_tokens=200,
        messages=[{"role": "user", "content": [image, {"type": "text", "text": "What is this?"}]}],
        tools=[{"name": "read", "input_schema": SCHEMA}],
        extra_headers=steer("tool=1,input=50,output=30"),
    )
    assert message.stop_reason == "tool_use"
    assert [block.type for block in message.content][-1] == "tool_use"
    assert (await proxy.record()).stop_reason == "tool_use"


@pytest.mark.parametrize(
    ("steering", "error", "error_class"),
    [
        ("error=429,retry_after=3", anthropic.RateLimitError, "rate_limit_error"),
        ("error=529", anthropic.InternalServerError, "overloaded_error"),
        ("error=400", anthropic.BadRequestError, "invalid_request_error"),
    ],
)
async def test_anthropic_errors(claude, proxy: Gateway, steering: str, error: type, error_class: str):
    with pytest.raises(error):
        await claude.messages.create(model=CLAUDE, max_tokens=9, messages=HELLO, extra_headers=steer(steering))
    record = await proxy.record()
    assert (record.outcome, record.error_class, record.cost_usd) == (Outcome.ERROR, error_class, 0)


async def test_a_stream_left_midway(claude, proxy: Gateway):
    stream = await claude.messages.create(
        model=CLAUDE,
        max_tokens=5000,
        messages=HELLO,
        stream=True,
        extra_headers=steer("input=10,output=4000,chunks=400,ttft_ms=1,duration_ms=20000"),
    )
    async for event in stream:
        if event.type == "content_block_delta":
            break
    await stream.close()
    record = await proxy.record()
    assert (record.outcome, record.uncached_input_tokens) == (Outcome.DISCONNECTED, 10)
    assert 0 < record.output_tokens < 4000
    assert record.cost_status is CostStatus.ESTIMATED


async def test_counting_and_models(claude, gpt, proxy: Gateway):
    assert (await claude.messages.count_tokens(model=CLAUDE, messages=HELLO)).input_tokens > 0
    assert [model.id async for model in await claude.models.list()]
    assert [model.id async for model in await gpt.models.list()]
    assert [r.provider for r in proxy.records] == ["anthropic", "anthropic", "openai"]
    assert all(r.cost_usd == 0 for r in proxy.records)


async def test_a_chat_completion(gpt, proxy: Gateway):
    chat = await gpt.chat.completions.create(
        model=GPT, messages=HELLO, extra_headers=steer("input=100,cache_read=20,output=30"), safety_identifier="ann"
    )
    assert chat.usage.prompt_tokens == 120
    record = await proxy.record()
    assert counts(record) == (100, 20, 0, 0, 30)
    assert (record.user, record.endpoint) == ("ann", Endpoint.CHAT_COMPLETIONS)


@pytest.mark.parametrize("asked", [True, False])
async def test_a_streamed_chat_completion(gpt, proxy: Gateway, *, asked: bool):
    options = {"stream_options": {"include_usage": True}} if asked else {}
    stream = await gpt.chat.completions.create(
        model=GPT, messages=HELLO, stream=True, extra_headers=steer("input=100,output=30"), **options
    )
    chunks = [chunk async for chunk in stream]
    assert any(chunk.usage for chunk in chunks) == asked
    assert all(chunk.choices for chunk in chunks) != asked
    record = await proxy.record()
    assert counts(record) == (100, 0, 0, 0, 30)
    assert record.cost_status is CostStatus.EXACT


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_response(gpt, proxy: Gateway, *, streamed: bool):
    steering = steer("input=100,cache_read=50,output=30,reasoning=10")
    answer = await gpt.responses.create(model=GPT, input="Why?", stream=streamed, extra_headers=steering)
    if streamed:
        assert [event async for event in answer][-1].type == "response.completed"
    else:
        assert answer.usage.input_tokens == 150
    record = await proxy.record()
    assert counts(record) == (100, 50, 0, 0, 30)
    assert (record.reasoning_tokens, record.endpoint, record.stream) == (10, Endpoint.RESPONSES, streamed)


async def test_openai_errors(gpt, proxy: Gateway):
    with pytest.raises(openai.RateLimitError):
        await gpt.chat.completions.create(model=GPT, messages=HELLO, extra_headers=steer("error=429"))
    assert (await proxy.record()).status == 429


async def test_an_sdk_understands_our_own_refusals(claude, gpt, proxy: Gateway):
    proxy.proxy.forwarder.stop_taking()
    with pytest.raises(anthropic.APIStatusError) as refused:
        await claude.messages.create(model=CLAUDE, max_tokens=9, messages=HELLO)
    assert (refused.value.status_code, refused.value.type) == (503, "overloaded_error")
    with pytest.raises(openai.APIStatusError) as refused:
        await gpt.chat.completions.create(model=GPT, messages=HELLO)
    assert (refused.value.status_code, refused.value.code) == (503, "proxy_stopping")


async def test_the_ledger_adds_up_to_the_providers_books(claude, gpt, proxy: Gateway, app: web.Application):
    for _ in range(5):
        await claude.messages.create(model=CLAUDE, max_tokens=50, messages=HELLO)
        async with claude.messages.stream(model=CLAUDE, max_tokens=50, messages=HELLO) as stream:
            await stream.get_final_message()
        async for _ in await gpt.chat.completions.create(model=GPT, messages=HELLO, stream=True):
            pass
    await until(lambda: len(proxy.records) == 15)
    totals = app[BOOKS].summary()
    assert totals["requests"] == 15
    assert sum(record.output_tokens for record in proxy.records) == totals["output_tokens"]
    assert sum(sum(counts(record)[:4]) for record in proxy.records) == totals["input_tokens"]
