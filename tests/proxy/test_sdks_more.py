"""Google's SDK, and what else the others do, through the proxy to the simulated provider; the ledger is right."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import anthropic
import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from google import genai
from google.genai import errors, types

from data.model import CostStatus, Endpoint, LedgerRecord, Outcome
from proxy.simulated.server import BOOKS, make_app
from proxy.simulated.settings import SimulatedSettings
from tests.proxy.gateway import Gateway, gateway, until

#: Google's SDK does what aiohttp discourages.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
PRO, CLAUDE = "gemini-2.5-pro", "claude-opus-5-5"
HELLO = [{"role": "user", "content": "Why is the sky blue?"}]
BODY = {"model": "gpt-5", "messages": HELLO}
PARAMS = {"model": CLAUDE, "max_tokens": 50, "messages": HELLO}


@pytest.fixture
def app() -> web.Application:
    return make_app(SimulatedSettings(speed=0))


@pytest.fixture
async def proxy(app: web.Application, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with TestServer(app) as server, gateway(tmp_path, str(server.make_url("")).rstrip("/")) as running:
        yield running


@pytest.fixture
async def gemini(proxy: Gateway) -> AsyncIterator[genai.client.AsyncClient]:
    async with genai.Client(api_key="goog", http_options=types.HttpOptions(base_url=proxy.url)).aio as client:
        yield client


@pytest.fixture
async def claude(proxy: Gateway) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(api_key="key", base_url=f"{proxy.url}/p/web", max_retries=0) as client:
        yield client


@pytest.fixture
async def gpt(proxy: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key="key", base_url=f"{proxy.url}/openai/v1", max_retries=0) as client:
        yield client


def steered(text: str, **config: object) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(http_options=types.HttpOptions(headers={"x-simulate": text}), **config)


def counts(record: LedgerRecord) -> tuple[int, ...]:
    return (
        record.uncached_input_tokens,
        record.cache_read_tokens,
        record.output_tokens,
        record.reasoning_tokens,
    )


ALL = "input=374,output=44,cache_read=1000,reasoning=14,chunks=5"


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_gemini_answer(gemini, proxy: Gateway, app, *, streamed: bool):
    models, config = gemini.models, steered(ALL, max_output_tokens=64)
    if streamed:
        async for chunk in await models.generate_content_stream(model=PRO, contents="Why?", config=config):
            assert chunk.usage_metadata
    else:
        assert (await models.generate_content(model=PRO, contents="Why?", config=config)).text
    record = await proxy.record()
    assert counts(record) == (374, 1000, 44, 14)
    assert (record.endpoint, record.provider, record.stream) == (Endpoint.GENERATE_CONTENT, "gemini", streamed)
    assert (record.model_requested, record.model, record.stop_reason) == (PRO, PRO, "STOP")
    assert (record.outcome, record.cost_status) == (Outcome.OK, CostStatus.EXACT)
    assert (record.ttft_ms is not None) is streamed
    assert record.provider_request_id == app[BOOKS].last(1)[0].id
    assert record.key.startswith("key-")


async def test_a_gemini_stream_without_events(proxy: Gateway):
    url = f"{proxy.url}/v1beta/models/{PRO}:streamGenerateContent?key=goog"
    body = {"contents": [{"parts": [{"text": "Why?"}]}]}
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers={"x-simulate": ALL}) as got:
        assert len(json.loads(await got.read())) == 5
    record = await proxy.record()
    assert counts(record) == (374, 1000, 44, 14)
    assert (record.outcome, record.cost_status, record.stream) == (Outcome.OK, CostStatus.EXACT, True)
    assert record.ttft_ms is not None


@pytest.mark.parametrize("form", ["?alt=sse", ""])
@pytest.mark.parametrize(
    ("steering", "outcome", "error_class"),
    [
        ("hang_up_after=2", Outcome.PARTIAL, "provider_broke_off"),
        ("truncate_after=2", Outcome.PARTIAL, "incomplete_stream"),
        ("error_event_after=2", Outcome.ERROR, "unavailable"),
    ],
)
async def test_a_gemini_stream_that_breaks_off(proxy: Gateway, form, steering, outcome, error_class):
    url = f"{proxy.url}/v1beta/models/{PRO}:streamGenerateContent{form}"
    body = {"contents": [{"parts": [{"text": "Why?"}]}]}
    headers = {"x-simulate": f"{ALL},{steering}", "x-goog-api-key": "goog"}
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as got:
        try:
            await got.read()
        except aiohttp.ClientPayloadError:
            assert outcome is Outcome.PARTIAL
    record = await proxy.record()
    assert (record.outcome, record.error_class, record.cost_status) == (outcome, error_class, CostStatus.ESTIMATED)
    assert record.uncached_input_tokens == 374
    assert 0 < record.output_tokens < 44


@pytest.mark.parametrize(
    ("steering", "error_class"), [("error=429", "resource_exhausted"), ("error=503", "unavailable")]
)
async def test_gemini_errors(gemini, proxy: Gateway, steering: str, error_class: str):
    with pytest.raises(errors.APIError):
        await gemini.models.generate_content(model=PRO, contents="Why?", config=steered(steering))
    record = await proxy.record()
    assert (record.outcome, record.error_class, record.cost_usd) == (Outcome.ERROR, error_class, 0)


async def test_googles_sdk_understands_our_own_refusals(gemini, proxy: Gateway):
    proxy.proxy.forwarder.stop_taking()
    with pytest.raises(errors.ServerError) as refused:
        await gemini.models.generate_content(model=PRO, contents="Why?")
    assert (refused.value.code, refused.value.status) == (503, "UNAVAILABLE")
    assert "stopping" in refused.value.message


async def test_counting_embedding_and_listing_with_gemini(gemini, proxy: Gateway):
    assert (await gemini.models.count_tokens(model=PRO, contents="Why?")).total_tokens == 1
    await gemini.models.embed_content(model="gemini-embedding-001", contents=["one", "two"])
    assert [model.name async for model in await gemini.models.list()]
    await gemini.models.get(model=PRO)
    await until(lambda: len(proxy.records) == 4)
    found = [(r.endpoint, r.uncached_input_tokens, r.cost_status) for r in proxy.records]
    assert found == [
        (Endpoint.COUNT_GEMINI_TOKENS, 0, CostStatus.EXACT),
        (Endpoint.EMBEDDINGS, 2, CostStatus.EXACT),
        (Endpoint.MODELS, 0, CostStatus.EXACT),
        (Endpoint.MODELS, 0, CostStatus.EXACT),
    ]
    assert {r.provider for r in proxy.records} == {"gemini"}


async def test_openai_embeddings(gpt, proxy: Gateway):
    steering = {"x-simulate": "input=1000"}
    answer = await gpt.embeddings.create(model="text-embedding-3-small", input=["one", "two"], extra_headers=steering)
    assert answer.usage.prompt_tokens == 1000
    record = await proxy.record()
    assert (record.endpoint, record.uncached_input_tokens, record.output_tokens) == (Endpoint.EMBEDDINGS, 1000, 0)
    assert (record.cost_status, f"{record.cost_usd:f}") == (CostStatus.EXACT, "0.000020000")


async def test_an_anthropic_batch_is_counted_where_its_results_are_fetched(claude, proxy: Gateway, app):
    requests = [{"custom_id": f"r{index}", "params": PARAMS} for index in range(4)]
    steering = {"x-simulate": "input=1000,output=100,errored=1"}
    made = await claude.messages.batches.create(requests=requests, extra_headers=steering)
    ended = await claude.messages.batches.retrieve(made.id)
    assert ended.results_url.startswith(f"{proxy.url}/p/web/v1/messages/batches/")
    for _ in range(2):
        lines = [line async for line in await claude.messages.batches.results(made.id)]
        assert [line.custom_id for line in lines] == ["r0", "r1", "r2", "r3"]
    assert [each.id async for each in claude.messages.batches.list()] == [made.id]
    await claude.messages.batches.delete(made.id)
    rows = [record for record in proxy.records if record.endpoint is Endpoint.BATCH_RESULT]
    noted = [each for each in app[BOOKS].last(100) if each.endpoint is Endpoint.BATCH_RESULT]
    assert [(row.tags["batch_id"], row.tags["custom_id"]) for row in rows] == [(n.batch, n.custom_id) for n in noted]
    assert [row.output_tokens for row in rows] == [each.tokens.output for each in noted] == [100, 100, 100, 0]
    # 1,000 in at $4 and 100 out at $20 a million, halved
    assert [f"{row.cost_usd:f}" for row in rows] == ["0.003000000"] * 3 + ["0"]
    assert {row.project for row in proxy.records} == {"web"}
    assert sum(r.cost_usd for r in proxy.records if r.endpoint is Endpoint.BATCHES) == 0


async def test_an_openai_batch_is_counted_where_its_output_is_fetched(gpt, proxy: Gateway, app):
    asked = ({"custom_id": f"r{n}", "method": "POST", "url": "/v1/chat/completions", "body": BODY} for n in range(4))
    content = b"".join(json.dumps(each).encode() + b"\n" for each in asked)
    file = await gpt.files.create(file=("in.jsonl", content), purpose="batch")
    steering = {"x-simulate": "input=1000,output=100,errored=1"}
    made = await gpt.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", extra_headers=steering
    )
    ended = await gpt.batches.retrieve(made.id)
    assert (ended.status, [each.id async for each in gpt.batches.list()]) == ("completed", [made.id])
    provider = proxy.proxy.forwarder.standing.providers["openai"].base_url
    async with openai.AsyncOpenAI(api_key="key", base_url=f"{provider}/v1") as direct:
        for number in (ended.output_file_id, ended.error_file_id, ended.output_file_id, file.id):
            assert (await gpt.files.content(number)).content == (await direct.files.content(number)).content
    await until(lambda: len(proxy.records) == 12)
    rows = [record for record in proxy.records if record.endpoint is Endpoint.BATCH_RESULT]
    noted = [each for each in app[BOOKS].last(100) if each.endpoint is Endpoint.BATCH_RESULT]
    assert [row.tags["custom_id"] for row in rows] == [each.custom_id for each in noted] == ["r0", "r1", "r2", "r3"]
    assert [row.provider_request_id for row in rows] == [each.id for each in noted]
    assert [row.output_tokens for row in rows] == [each.tokens.output for each in noted] == [100, 100, 100, 0]
    # 1,000 in at $1.25 and 100 out at $10 a million, halved
    assert [f"{row.cost_usd:f}" for row in rows] == ["0.001125000"] * 3 + ["0"]
    assert {(row.provider, row.service_tier, row.cost_status) for row in rows} == {
        ("openai", "batch", CostStatus.EXACT)
    }
    assert [row.status for row in rows] == [200, 200, 200, 400]
    assert sum(r.cost_usd for r in proxy.records if r.endpoint is not Endpoint.BATCH_RESULT) == 0


@pytest.mark.parametrize("size_kb", [100, 1000], ids=["read", "passed on as it comes"])
async def test_files_pass_both_ways(claude, gpt, proxy: Gateway, size_kb: int):
    content = bytes(range(256)) * 4 * size_kb
    ours = await claude.beta.files.upload(file=("b.bin", content, "application/pdf"))
    assert (await claude.beta.files.retrieve_metadata(ours.id)).size_bytes == len(content)
    theirs = await gpt.files.create(file=("a.jsonl", content), purpose="batch")
    assert (await gpt.files.content(theirs.id)).content == content
    assert (await gpt.files.delete(theirs.id)).deleted
    await until(lambda: len(proxy.records) == 5)
    assert {r.endpoint for r in proxy.records} == {Endpoint.FILES}
    assert [r.provider for r in proxy.records] == ["anthropic"] * 2 + ["openai"] * 3
    assert {r.cost_usd for r in proxy.records} == {0}


async def test_the_ledger_agrees_with_the_providers_books_row_by_row(gemini, claude, gpt, proxy: Gateway, app):
    for _ in range(3):
        await gemini.models.generate_content(model=PRO, contents="Why?")
        async for _ in await gemini.models.generate_content_stream(model=PRO, contents="Why?"):
            pass
        await claude.messages.create(**PARAMS)
        await gpt.embeddings.create(model="text-embedding-3-small", input="Why?")
        await gpt.responses.create(model="gpt-5", input="Why?")
    await until(lambda: len(proxy.records) == 15)
    rows = {record.provider_request_id: record for record in proxy.records}
    books = app[BOOKS].last(100)
    assert len(rows) == len(books) == 15
    for served in books:
        row = rows[served.id]
        assert (row.endpoint, row.model_requested, row.status) == (served.endpoint, served.model, served.status)
        assert counts(row) == (
            served.tokens.uncached_input,
            served.tokens.cache_read,
            served.tokens.output,
            served.tokens.reasoning,
        )
        assert row.key == served.credential
