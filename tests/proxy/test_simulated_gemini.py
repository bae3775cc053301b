"""Google's own SDK talks to the simulated provider, and a client that looks at the bytes."""

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from google import genai
from google.genai import errors, types

from data.model import Endpoint
from proxy.simulated.server import BOOKS, make_app
from proxy.simulated.settings import SimulatedSettings

#: Google's SDK does what aiohttp discourages.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
PRO = "gemini-2.5-pro"
HELLO = {"contents": [{"role": "user", "parts": [{"text": "Why is the sky blue?"}]}]}
SSE = f"/v1beta/models/{PRO}:streamGenerateContent?alt=sse"
ARRAY = f"/v1beta/models/{PRO}:streamGenerateContent"
WHOLE = f"/v1beta/models/{PRO}:generateContent"


@pytest.fixture
def app() -> web.Application:
    return make_app(SimulatedSettings(speed=0))


@pytest.fixture
async def server(app: web.Application) -> AsyncIterator[TestServer]:
    async with TestServer(app) as running:
        yield running


@pytest.fixture
async def gemini(server: TestServer) -> AsyncIterator[genai.client.AsyncClient]:
    options = types.HttpOptions(base_url=str(server.make_url("")))
    async with genai.Client(api_key="key", http_options=options).aio as client:
        yield client


@pytest.fixture
async def client(server: TestServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.make_url("/")) as session:
        yield session


def steered(text: str, **config: object) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(http_options=types.HttpOptions(headers={"x-simulate": text}), **config)


async def test_an_answer_has_the_counts_it_was_steered_to(gemini, app):
    config = steered("input=374,output=44,cache_read=1000,reasoning=14")
    answer = await gemini.models.generate_content(model=PRO, contents="Why?", config=config)
    usage = answer.usage_metadata
    assert (usage.prompt_token_count, usage.cached_content_token_count) == (1374, 1000)
    assert (usage.candidates_token_count, usage.thoughts_token_count) == (30, 14)
    assert usage.total_token_count == 1374 + 44
    assert answer.text
    assert answer.model_version == PRO
    assert app[BOOKS].summary()["output_tokens"] == 44


async def test_a_streams_counts_grow_to_the_answers(gemini):
    config = steered("input=9,output=60,chunks=4")
    stream = await gemini.models.generate_content_stream(model=PRO, contents="Why?", config=config)
    chunks = [chunk async for chunk in stream]
    counts = [chunk.usage_metadata.candidates_token_count for chunk in chunks]
    assert counts == sorted(counts)
    assert counts[-1] == 60
    assert [bool(chunk.candidates[0].finish_reason) for chunk in chunks] == [False] * 3 + [True]


async def test_a_function_is_called_with_arguments_that_fit(gemini):
    schema = {"type": "OBJECT", "properties": {"lines": {"type": "INTEGER"}}, "required": ["lines"]}
    tool = types.Tool(function_declarations=[types.FunctionDeclaration(name="read", parameters=schema)])
    config = steered("tool=1", tools=[tool])
    answer = await gemini.models.generate_content(model=PRO, contents="Why?", config=config)
    (call,) = answer.function_calls
    assert call.name == "read"
    assert isinstance(call.args["lines"], int)


async def test_an_answer_ends_at_its_limit(gemini):
    config = types.GenerateContentConfig(max_output_tokens=3)
    answer = await gemini.models.generate_content(model=PRO, contents="Why?", config=config)
    assert answer.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS


async def test_counting_embedding_and_models(gemini, app):
    counted = await gemini.models.count_tokens(model=PRO, contents="Why is the sky blue?")
    assert counted.total_tokens == 5
    embedded = await gemini.models.embed_content(model="gemini-embedding-001", contents=["one", "two"])
    assert [len(each.values) for each in embedded.embeddings] == [64, 64]
    assert (await gemini.models.get(model=PRO)).name == f"models/{PRO}"
    assert f"models/{PRO}" in [model.name async for model in await gemini.models.list()]
    served = app[BOOKS].last(10)
    assert [each.endpoint for each in served] == [Endpoint.COUNT_GEMINI_TOKENS, Endpoint.EMBEDDINGS]
    assert served[1].tokens.uncached_input == 2


@pytest.mark.parametrize("steering", ["error=429", "context_length", "content_policy", "overloaded_for=60"])
async def test_errors_have_googles_shape(gemini, steering):
    with pytest.raises(errors.APIError) as raised:
        await gemini.models.generate_content(model=PRO, contents="Why?", config=steered(steering))
    assert raised.value.code == {"error=429": 429, "overloaded_for=60": 503}.get(steering, 400)
    assert raised.value.status
    assert raised.value.message


async def test_the_array_holds_what_the_events_do(client):
    headers = {"x-simulate": "input=9,output=60,chunks=4"}
    async with client.post(ARRAY, json=HELLO, headers=headers) as answer:
        assert answer.content_type == "application/json"
        array = json.loads(await answer.read())
    async with client.post(SSE, json=HELLO, headers=headers) as answer:
        assert answer.content_type == "text/event-stream"
        events = [json.loads(event[6:]) for event in (await answer.read()).split(b"\n\n")[:-1]]
    without_ids = [{**piece, "responseId": ""} for piece in array]
    assert without_ids == [{**piece, "responseId": ""} for piece in events]


@pytest.mark.parametrize("path", [SSE, ARRAY])
async def test_a_stream_may_end_with_an_error(client, path):
    async with client.post(path, json=HELLO, headers={"x-simulate": "chunks=5,error_event_after=2"}) as answer:
        body = await answer.read()
    pieces = json.loads(body) if path == ARRAY else [json.loads(e[6:]) for e in body.split(b"\n\n")[:-1]]
    assert len(pieces) == 3
    assert pieces[-1]["error"]["status"] == "UNAVAILABLE"


@pytest.mark.parametrize("path", [SSE, ARRAY])
async def test_a_stream_may_break_off(client, app, path):
    async with client.post(path, json=HELLO, headers={"x-simulate": "chunks=5,hang_up_after=2"}) as answer:
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    assert app[BOOKS].totals.broken == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (WHOLE, b"{not json"),
        (WHOLE, b'{"contents":[]}'),
        (WHOLE, b'{"contents":[7]}'),
        (WHOLE, b'{"contents":[{"parts":7}]}'),
        (f"/v1beta/models/{PRO}:countTokens", b'{"contents":3}'),
        ("/v1beta/models/gemini-embedding-001:batchEmbedContents", b'{"requests":[]}'),
        ("/v1/embeddings", b'{"model":"m"}'),
        ("/v1/embeddings", b'{"input":"x"}'),
    ],
)
async def test_a_body_that_is_not_valid_is_refused_as_a_provider_would(client, path, body):
    async with client.post(path, data=body) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["message"]


@pytest.mark.parametrize("path", [f"/v1beta/models/{PRO}:dream", "/v1beta/models/nobody"])
async def test_what_there_is_not_is_not_found(client, path):
    method = client.post if ":" in path else client.get
    async with method(path) as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["status"] == "NOT_FOUND"
