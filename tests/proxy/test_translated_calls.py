"""Clients of one protocol before providers of another, over the running proxy: with the real SDKs, and metered."""

from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import anthropic
import openai
import pytest
from aiohttp.test_utils import TestServer

from data.config import PriceOverride, ProviderConfig
from data.model import CostStatus, Outcome, Protocol
from data.route_config import RouteConfig, TiersConfig
from proxy.simulated.server import make_app
from proxy.simulated.settings import SimulatedSettings
from tests.proxy.budget_worlds import begin_counting, budget
from tests.proxy.gateway import answer, client, gateway, provider, until

PRICES = (PriceOverride("*", Decimal(1), Decimal(10)),)
WEATHER = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@asynccontextmanager
async def before(home: Path, protocol: Protocol, **config):
    """The proxy with one provider, simulated, that speaks `protocol` alone."""
    server = TestServer(make_app(SimulatedSettings(speed=0)))
    await server.start_server()
    url = str(server.make_url("")).rstrip("/")
    providers = {"only": ProviderConfig(protocol, url, "sk-own", "only")}
    try:
        async with gateway(home, url, **{"providers": providers, "prices": PRICES, **config}) as proxy:
            yield proxy
    finally:
        await server.close()


def claude(proxy) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(api_key="callers", base_url=proxy.url, max_retries=0)


def gpt(proxy) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="callers", base_url=f"{proxy.url}/v1", max_retries=0)


def priced(record) -> Decimal:
    """What a row costs by the prices above."""
    return (Decimal(record.uncached_input_tokens + record.cache_read_tokens) + 10 * record.output_tokens) / 1_000_000


ASK = {"model": "claude-opus-4-5", "max_tokens": 200, "messages": [{"role": "user", "content": "Say hello"}]}


async def test_an_anthropic_client_before_an_openai_provider(home: Path):
    async with before(home, Protocol.OPENAI, tiers=TiersConfig(big="only/gpt-5")) as proxy, claude(proxy) as sdk:
        got = await sdk.messages.create(**ASK, system="Be kind")
        record = await proxy.record()
    assert got.type == "message"
    assert got.content[0].type == "text"
    assert got.content[0].text
    assert got.stop_reason in {"end_turn", "max_tokens"}
    assert (record.protocol, record.provider, record.model_requested, record.outcome) == (
        *(Protocol.ANTHROPIC, "only", "claude-opus-4-5"),
        Outcome.OK,
    )
    assert record.model.startswith("gpt-5")
    assert (got.usage.input_tokens, got.usage.output_tokens) == (record.uncached_input_tokens, record.output_tokens)
    assert (record.cost_status, record.cost_usd) == (CostStatus.EXACT, priced(record))


async def test_a_stream_with_tools_as_claude_code_asks(home: Path):
    asked = {
        **ASK,
        "tools": [WEATHER],
        "tool_choice": {"type": "any"},
        "metadata": {"user_id": "user_a_account__session_s1"},
    }
    async with before(home, Protocol.OPENAI) as proxy, claude(proxy) as sdk:
        async with sdk.messages.stream(**asked) as stream:
            kinds = [event.type async for event in stream]
            message = await stream.get_final_message()
        record = await proxy.record()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert [block.name for block in message.content if block.type == "tool_use"] == ["weather"]
    assert message.stop_reason == "tool_use"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (
        record.uncached_input_tokens,
        record.output_tokens,
    )
    assert (record.stream, record.session, record.outcome, record.cost_usd) == (True, "s1", Outcome.OK, priced(record))
    assert record.ttft_ms is not None


async def test_tokens_are_counted_here_where_the_provider_cannot_and_marked(home: Path):
    async with before(home, Protocol.OPENAI) as proxy, claude(proxy) as sdk:
        got = await sdk.messages.with_raw_response.count_tokens(
            model="claude-opus-4-5", messages=[{"role": "user", "content": "word " * 1000}]
        )
        counted = (await got.parse()).input_tokens
    assert got.headers["x-claude-proxy-estimated"] == "input_tokens"
    assert 500 < counted < 2500
    assert proxy.records == []


async def test_an_openai_client_before_an_anthropic_provider(home: Path):
    routes = (RouteConfig("gpt-*", "only", send_model="claude-opus-4-5"),)
    async with before(home, Protocol.ANTHROPIC, routes=routes) as proxy, gpt(proxy) as sdk:
        got = await sdk.chat.completions.create(
            model="gpt-5", messages=[{"role": "system", "content": "Be kind"}, {"role": "user", "content": "Hello"}]
        )
        record = await proxy.record()
    assert got.choices[0].message.content
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (
        record.uncached_input_tokens + record.cache_read_tokens,
        record.output_tokens,
    )
    assert (record.protocol, record.model_requested, record.cost_usd) == (Protocol.OPENAI, "gpt-5", priced(record))


@pytest.mark.parametrize("counts", [True, False])
async def test_an_openai_stream_before_an_anthropic_provider(home: Path, counts: bool):  # noqa: FBT001
    options = {"stream_options": {"include_usage": True}} if counts else {}
    async with before(home, Protocol.ANTHROPIC) as proxy, gpt(proxy) as sdk:
        stream = await sdk.chat.completions.create(
            model="claude-opus-4-5", messages=[{"role": "user", "content": "Hello"}], stream=True, **options
        )
        chunks = [chunk async for chunk in stream]
        record = await proxy.record()
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == [record.output_tokens] * counts
    assert (record.outcome, record.cost_usd) == (Outcome.OK, priced(record))


async def test_errors_are_translated(home: Path):
    body = b'{"error":{"message":"Slow down","type":"requests","code":"rate_limit_exceeded"}}'
    limited = answer(body, status="429 Slow", headers="retry-after: 7\r\n")
    async with provider(limited) as (url, _):
        providers = {"only": ProviderConfig(Protocol.OPENAI, url, "sk-own", "only")}
        async with gateway(home, url, providers=providers) as proxy, claude(proxy) as sdk:
            with pytest.raises(anthropic.RateLimitError, match="Slow down") as error:
                await sdk.messages.create(**ASK)
            record = await proxy.record()
    assert error.value.response.headers["retry-after"] == "7"
    assert error.value.body["error"]["type"] == "rate_limit_error"
    assert (record.status, record.cost_usd) == (429, 0)


async def test_what_cannot_be_translated_is_refused_by_name_and_sent_nowhere(home: Path):
    asked = {**ASK, "tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    async with before(home, Protocol.OPENAI) as proxy, claude(proxy) as sdk:
        with pytest.raises(anthropic.BadRequestError, match="web_search"):
            await sdk.messages.create(**asked)
        assert proxy.records == []


async def test_the_callers_credential_and_headers_of_its_protocol(home: Path):
    good = b'{"id":"c","model":"m","choices":[{"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'
    async with provider(answer(good)) as (url, seen):
        providers = {"only": ProviderConfig(Protocol.OPENAI, url, "", "only")}
        async with gateway(home, url, providers=providers) as proxy, claude(proxy) as sdk:
            got = await sdk.messages.create(**ASK, extra_headers={"anthropic-beta": "x"})
    assert got.content[0].text == "hi"
    head = seen.heads[0].lower()
    assert head.startswith(b"post /v1/chat/completions http/1.1")
    assert b"authorization: bearer callers" in head
    for name in (b"anthropic-", b"x-stainless", b"x-api-key"):
        assert name not in head


async def test_a_stream_that_breaks_off_ends_with_an_error(home: Path):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"hi"}}]}\n\n'

    async def breaks(_reader, writer) -> None:
        writer.write(head + b"%x\r\n%s\r\n" % (len(piece), piece))
        await writer.drain()
        writer.close()

    async with provider(breaks) as (url, _):
        providers = {"only": ProviderConfig(Protocol.OPENAI, url, "sk", "only")}
        async with gateway(home, url, providers=providers) as proxy, client() as c:
            body = b'{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}'
            got = await c.post(f"{proxy.url}/v1/messages", data=body)
            read = b""
            try:
                async for chunk in got.content.iter_any():
                    read += chunk
            except Exception:  # noqa: BLE001 - how it breaks off is not what is asked here
                pass
            got.close()
            await until(lambda: len(proxy.records) == 1)
    assert b"event: error" in read
    assert b"message_stop" not in read
    assert proxy.records[0].outcome is Outcome.PARTIAL


@pytest.mark.parametrize(("speed", "status"), [("standard", 200), ("fast", 429)])
async def test_a_budget_holds_for_the_class_of_service_that_a_speed_becomes(home: Path, speed: str, status: int):
    # 1,000 tokens of gpt-5's output cost $0.01, and twice that as `priority`
    begin_counting(home, [budget(amount_usd=0.015)])
    body = {**ASK, "max_tokens": 1000, "speed": speed}
    async with before(home, Protocol.OPENAI, prices=(), tiers=TiersConfig(big="only/gpt-5")) as proxy, client() as c:
        got = await c.post(f"{proxy.url}/v1/messages", json=body)
    assert got.status == status
