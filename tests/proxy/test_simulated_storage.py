"""Batches, files and embeddings of the simulated provider, as the real SDKs see them."""

import json
from collections.abc import AsyncIterator

import anthropic
import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from data.model import Endpoint
from proxy.attribution import key_label
from proxy.simulated.server import BOOKS, make_app
from proxy.simulated.settings import SimulatedSettings

CLAUDE = "claude-opus-5-5"
PARAMS = {"model": CLAUDE, "max_tokens": 50, "messages": [{"role": "user", "content": "Why?"}]}


@pytest.fixture
def app() -> web.Application:
    return make_app(SimulatedSettings(speed=0))


@pytest.fixture
async def server(app: web.Application) -> AsyncIterator[TestServer]:
    async with TestServer(app) as running:
        yield running


@pytest.fixture
async def claude(server: TestServer) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(api_key="key", base_url=str(server.make_url("")), max_retries=0) as client:
        yield client


@pytest.fixture
async def gpt(server: TestServer) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key="key", base_url=str(server.make_url("/v1")), max_retries=0) as client:
        yield client


def requests(number: int) -> list[dict[str, object]]:
    return [{"custom_id": f"r{index}", "params": PARAMS} for index in range(number)]


def steer(text: str) -> dict[str, str]:
    return {"x-simulate": text}


async def test_a_batch_ends_when_it_is_looked_at_and_is_in_the_books_once(claude, app):
    steering = steer("input=1000,output=100,errored=1,expired=1")
    made = await claude.messages.batches.create(requests=requests(4), extra_headers=steering)
    assert (made.processing_status, made.request_counts.processing, made.results_url) == ("in_progress", 4, None)
    ended = await claude.messages.batches.retrieve(made.id)
    assert ended.processing_status == "ended"
    counts = ended.request_counts
    assert (counts.succeeded, counts.errored, counts.expired, counts.processing) == (2, 1, 1, 0)
    lines = [line async for line in await claude.messages.batches.results(made.id)]
    again = [line async for line in await claude.messages.batches.results(made.id)]
    assert lines == again
    assert [line.custom_id for line in lines] == ["r0", "r1", "r2", "r3"]
    assert [line.result.type for line in lines] == ["succeeded", "succeeded", "expired", "errored"]
    message = lines[0].result.message
    assert (message.usage.input_tokens, message.usage.output_tokens, message.usage.service_tier) == (1000, 100, "batch")
    noted = [each for each in app[BOOKS].last(100) if each.endpoint is Endpoint.BATCH_RESULT]
    assert [(each.custom_id, each.tokens.output) for each in noted] == [("r0", 100), ("r1", 100), ("r2", 0), ("r3", 0)]
    assert noted[0].id == message.id
    assert noted[0].batch == made.id
    assert app[BOOKS].totals.output_tokens == 200


async def test_a_batch_may_take_its_time(claude):
    made = await claude.messages.batches.create(requests=requests(1), extra_headers=steer("polls=2"))
    seen = [(await claude.messages.batches.retrieve(made.id)).processing_status for _ in range(3)]
    assert seen == ["in_progress", "in_progress", "ended"]


async def test_a_batch_can_be_listed_cancelled_and_deleted(claude):
    made = await claude.messages.batches.create(requests=requests(2), extra_headers=steer("polls=9"))
    with pytest.raises(anthropic.BadRequestError):
        await claude.messages.batches.delete(made.id)
    assert (await claude.messages.batches.cancel(made.id)).processing_status == "canceling"
    assert (await claude.messages.batches.retrieve(made.id)).request_counts.canceled == 2
    assert [each.id async for each in claude.messages.batches.list()] == [made.id]
    assert (await claude.messages.batches.delete(made.id)).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        await claude.messages.batches.retrieve(made.id)


@pytest.mark.parametrize(
    "asked",
    [
        [],
        [{"custom_id": "", "params": PARAMS}],
        [{"params": PARAMS}],
        [{"custom_id": "a", "params": PARAMS}] * 2,
        [{"custom_id": "a", "params": {"model": CLAUDE}}],
        [{"custom_id": "a"}],
        [7],
    ],
)
async def test_a_batch_that_is_not_valid_is_refused(claude, asked):
    with pytest.raises(anthropic.BadRequestError):
        await claude.post("/v1/messages/batches", body={"requests": asked}, cast_to=object)


async def test_a_file_is_kept_for_both_protocols(claude, gpt, app):
    theirs = await gpt.files.create(file=("a.jsonl", b'{"a": 1}\n'), purpose="batch")
    assert (theirs.filename, theirs.bytes, theirs.purpose) == ("a.jsonl", 9, "batch")
    assert (await gpt.files.content(theirs.id)).content == b'{"a": 1}\n'
    ours = await claude.beta.files.upload(file=("b.txt", b"hello", "text/plain"))
    assert (ours.filename, ours.size_bytes, ours.mime_type) == ("b.txt", 5, "text/plain")
    assert (await claude.beta.files.retrieve_metadata(ours.id)).id == ours.id
    assert [each.id async for each in gpt.files.list()] == [theirs.id, ours.id]
    assert (await gpt.files.delete(theirs.id)).deleted
    assert (await claude.beta.files.delete(ours.id)).type == "file_deleted"
    with pytest.raises(openai.NotFoundError):
        await gpt.files.retrieve(theirs.id)
    assert {each.endpoint for each in app[BOOKS].last(100)} == {Endpoint.FILES}


def batch_input(number: int, url: str = "/v1/chat/completions", **body: object) -> bytes:
    asked = {"model": "gpt-5", "messages": PARAMS["messages"], **body}
    lines = ({"custom_id": f"r{index}", "method": "POST", "url": url, "body": asked} for index in range(number))
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


async def made_of(gpt: openai.AsyncOpenAI, content: bytes, url: str = "/v1/chat/completions", steering: str = ""):
    file = await gpt.files.create(file=("in.jsonl", content), purpose="batch")
    return await gpt.batches.create(
        input_file_id=file.id, endpoint=url, completion_window="24h", extra_headers=steer(steering)
    )


async def lines_of(gpt: openai.AsyncOpenAI, number: str) -> list[dict]:
    return [json.loads(line) for line in (await gpt.files.content(number)).text.splitlines()]


async def test_an_openai_batch_leaves_two_files_and_is_in_the_books_once(gpt, app):
    made = await made_of(gpt, batch_input(4), steering="input=1000,output=100,errored=1,expired=1")
    assert (made.status, made.request_counts.total, made.output_file_id) == ("in_progress", 4, None)
    ended = await gpt.batches.retrieve(made.id)
    assert await gpt.batches.retrieve(made.id) == ended
    assert (ended.status, ended.request_counts.completed, ended.request_counts.failed) == ("expired", 2, 2)
    good, bad = await lines_of(gpt, ended.output_file_id), await lines_of(gpt, ended.error_file_id)
    assert [line["custom_id"] for line in good + bad] == ["r0", "r1", "r2", "r3"]
    body = good[0]["response"]["body"]
    assert (body["object"], body["service_tier"]) == ("chat.completion", "default")
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (1000, 100)
    assert (bad[0]["response"], bad[0]["error"]["code"]) == (None, "batch_expired")
    assert (bad[1]["response"]["status_code"], bad[1]["error"]) == (400, None)
    noted = [each for each in app[BOOKS].last(100) if each.endpoint is Endpoint.BATCH_RESULT]
    assert [(each.custom_id, each.tokens.output) for each in noted] == [("r0", 100), ("r1", 100), ("r2", 0), ("r3", 0)]
    assert {each.batch for each in noted} == {made.id}
    assert noted[0].id == good[0]["response"]["request_id"]
    assert app[BOOKS].totals.output_tokens == 200


@pytest.mark.parametrize(
    ("url", "body", "kind"),
    [("/v1/responses", {"input": "Why?"}, "response"), ("/v1/embeddings", {"input": ["Why?"]}, "list")],
)
async def test_an_openai_batch_may_ask_other_endpoints(gpt, url, body, kind):
    made = await made_of(gpt, batch_input(2, url, **body), url)
    ended = await gpt.batches.retrieve(made.id)
    assert (ended.status, ended.error_file_id) == ("completed", None)
    assert {line["response"]["body"]["object"] for line in await lines_of(gpt, ended.output_file_id)} == {kind}


async def test_a_request_of_an_openai_batch_that_is_not_valid_is_refused_alone(gpt):
    content = batch_input(1) + batch_input(2, messages=[]).splitlines()[1]
    ended = await gpt.batches.retrieve((await made_of(gpt, content)).id)
    (refused,) = await lines_of(gpt, ended.error_file_id)
    assert (refused["response"]["status_code"], ended.status) == (400, "completed")
    assert "messages" in refused["response"]["body"]["error"]["message"]


async def test_an_openai_batch_may_take_its_time_and_be_listed_and_cancelled(gpt):
    made = await made_of(gpt, batch_input(2), steering="polls=2")
    assert (await gpt.batches.retrieve(made.id)).status == "in_progress"
    assert (await gpt.batches.cancel(made.id)).status == "cancelling"
    ended = await gpt.batches.retrieve(made.id)
    assert (ended.status, ended.output_file_id) == ("cancelled", None)
    assert {line["error"]["code"] for line in await lines_of(gpt, ended.error_file_id)} == {"batch_cancelled"}
    assert [each.id async for each in gpt.batches.list()] == [made.id]
    with pytest.raises(openai.BadRequestError):
        await gpt.batches.cancel(made.id)
    with pytest.raises(openai.NotFoundError):
        await gpt.batches.retrieve("batch_no")


@pytest.mark.parametrize(
    "content",
    [
        b"\n",
        b"{\n",
        b"7\n",
        batch_input(1) * 2,
        batch_input(1, "/v1/responses"),
        batch_input(1).replace(b"POST", b"GET"),
        batch_input(1).replace(b'"r0"', b"0"),
    ],
    ids=["nothing", "no JSON", "no object", "one name twice", "another endpoint", "another method", "no name"],
)
async def test_an_openai_batch_whose_file_is_wrong_fails(gpt, content):
    made = await made_of(gpt, content)
    assert made.status == "validating"
    failed = await gpt.batches.retrieve(made.id)
    assert (failed.status, failed.output_file_id, len(failed.errors.data)) == ("failed", None, 1)


async def test_an_openai_batch_is_of_a_file_and_an_endpoint_that_there_are(gpt):
    file = await gpt.files.create(file=("in.jsonl", batch_input(1)), purpose="user_data")
    for number, url in ((file.id, "/v1/chat/completions"), ("file-no", "/v1/chat/completions"), (file.id, "/v1/x")):
        with pytest.raises(openai.BadRequestError):
            await gpt.batches.create(input_file_id=number, endpoint=url, completion_window="24h")


async def test_an_embedding_has_the_shape_and_the_counts_that_were_asked_for(gpt, app):
    many = await gpt.embeddings.create(model="text-embedding-3-small", input=["one", "two words"], dimensions=8)
    assert [len(each.embedding) for each in many.data] == [8, 8]
    floats = await gpt.embeddings.create(
        model="text-embedding-3-small", input="one", encoding_format="float", extra_headers=steer("input=77")
    )
    assert floats.usage.prompt_tokens == 77
    tokens = await gpt.embeddings.create(model="text-embedding-3-small", input=[[1, 2, 3], [4]])
    assert tokens.usage.prompt_tokens == 4
    assert app[BOOKS].totals.input_tokens == 4 + 77 + 4


async def test_the_books_tell_which_credential_called_and_the_callers_own_number(claude, app):
    await claude.messages.create(**PARAMS, extra_headers={"x-request-id": "mine"})
    (served,) = app[BOOKS].last(1)
    assert (served.credential, served.request_id) == (key_label({"x-api-key": "key"}), "mine")


async def test_a_fault_may_be_for_one_credential_only(claude):
    own, other = key_label({"x-api-key": "key"}), key_label({"x-api-key": "other"})
    await claude.messages.create(**PARAMS, extra_headers=steer(f"error=429,only={other}"))
    with pytest.raises(anthropic.RateLimitError):
        await claude.messages.create(**PARAMS, extra_headers=steer(f"error=429,only={own}"))


async def test_a_provider_may_be_overloaded_for_a_while(claude, gpt):
    with pytest.raises(anthropic.InternalServerError) as refused:
        await claude.messages.create(**PARAMS, extra_headers=steer("overloaded_for=60"))
    assert refused.value.status_code == 529
    with pytest.raises(anthropic.InternalServerError):
        await claude.messages.count_tokens(model=CLAUDE, messages=PARAMS["messages"])
    with pytest.raises(openai.InternalServerError):
        await gpt.embeddings.create(model="m", input="x")
    await claude.messages.create(**PARAMS, extra_headers=steer("overloaded_for=0"))
    await claude.messages.create(**PARAMS)


@pytest.mark.parametrize(
    ("steering", "said"),
    [("context_length", "prompt is too long"), ("content_policy", "content filtering policy")],
)
async def test_what_anthropic_will_not_take_is_told_in_its_words(claude, steering, said):
    with pytest.raises(anthropic.BadRequestError, match=said):
        await claude.messages.create(**PARAMS, extra_headers=steer(steering))


@pytest.mark.parametrize(
    ("steering", "code"),
    [("context_length", "context_length_exceeded"), ("content_policy", "content_policy_violation")],
)
async def test_what_openai_will_not_take_has_its_code(gpt, steering, code):
    for ask in (gpt.chat.completions.create, gpt.responses.create):
        body = {"messages": PARAMS["messages"]} if ask == gpt.chat.completions.create else {"input": "Why?"}
        with pytest.raises(openai.BadRequestError) as refused:
            await ask(model="gpt-5", **body, extra_headers=steer(steering))
        assert refused.value.code == code
