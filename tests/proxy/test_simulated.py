"""The real SDKs talk to the simulated provider and find what the providers' documents promise."""

from collections.abc import AsyncIterator

import anthropic
import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.simulated.server import BOOKS, make_app
from proxy.simulated.settings import SimulatedSettings

HELLO = [{"role": "user", "content": "Why is the sky blue?"}]
SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "lines": {"type": "integer"}, "mode": {"enum": ["r", "w"]}},
    "required": ["path", "lines", "mode"],
}


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


def steer(text: str) -> dict[str, str]:
    return {"x-simulate": text}


async def test_a_message_has_the_counts_it_was_steered_to(claude, app):
    wanted = "input=374,output=44,cache_read=1000,cache_write_5m=20,cache_write_1h=30"
    message = await claude.messages.create(
        model="claude-opus-5-5", max_tokens=100, messages=HELLO, extra_headers=steer(wanted)
    )
    usage = message.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens) == (374, 44, 1000)
    assert usage.cache_creation_input_tokens == 50
    assert usage.cache_creation.ephemeral_1h_input_tokens == 30
    assert message.content[0].text
    totals = app[BOOKS].summary()
    assert (totals["requests"], totals["input_tokens"], totals["output_tokens"]) == (1, 1424, 44)
    assert totals["by_model"]["claude-opus-5-5"]["cache_write_1h_tokens"] == 30


async def test_a_stream_sends_anthropics_events_in_order(claude):
    stream = await claude.messages.create(
        model="claude-opus-5-5",
        max_tokens=3000,
        messages=HELLO,
        stream=True,
        thinking={"type": "enabled", "budget_tokens": 1024},
        tools=[{"name": "read", "input_schema": SCHEMA}],
        extra_headers=steer("tool=1,output=300,reasoning=100,cache_write_1h=7"),
    )
    events = [event async for event in stream]
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-2:] == ["message_delta", "message_stop"]
    blocks = [event.content_block.type for event in events if event.type == "content_block_start"]
    assert blocks == ["thinking", "text", "tool_use"]
    assert events[0].message.usage.cache_creation.ephemeral_1h_input_tokens == 7
    assert events[0].message.stop_reason is None
    assert events[-2].usage.output_tokens == 300
    assert events[-2].delta.stop_reason == "tool_use"


async def test_a_streamed_tool_call_has_arguments_that_fit_its_schema(claude):
    async with claude.messages.stream(
        model="claude-haiku-4-5",
        max_tokens=3000,
        messages=HELLO,
        tools=[{"name": "read", "input_schema": SCHEMA}],
        tool_choice={"type": "any"},
    ) as stream:
        message = await stream.get_final_message()
    call = message.content[-1]
    assert call.name == "read"
    assert isinstance(call.input["path"], str)
    assert isinstance(call.input["lines"], int)
    assert call.input["mode"] == "r"


async def test_an_answer_never_exceeds_max_tokens(claude):
    message = await claude.messages.create(model="claude-opus-5-5", max_tokens=3, messages=HELLO)
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 3


async def test_the_same_question_gets_the_same_answer(claude):
    asked = {"model": "claude-opus-5-5", "max_tokens": 500, "messages": HELLO}
    first, second = await claude.messages.create(**asked), await claude.messages.create(**asked)
    assert first.content == second.content
    assert first.id != second.id


async def test_a_marked_prefix_is_written_once_and_read_afterwards(claude):
    system = [{"type": "text", "text": "x" * 4000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    asked = {"model": "claude-opus-5-5", "max_tokens": 10, "system": system}
    first = await claude.messages.create(**asked, messages=HELLO)
    second = await claude.messages.create(**asked, messages=[{"role": "user", "content": "And red?"}])
    assert first.usage.cache_creation.ephemeral_1h_input_tokens == 1000
    assert first.usage.cache_read_input_tokens == 0
    assert second.usage.cache_read_input_tokens == 1000
    assert second.usage.cache_creation_input_tokens == 0
    assert second.usage.input_tokens == 2


async def test_count_tokens_counts_what_a_message_would_send(claude):
    counted = await claude.messages.count_tokens(model="claude-opus-5-5", messages=HELLO)
    sent = await claude.messages.create(model="claude-opus-5-5", max_tokens=5, messages=HELLO)
    assert counted.input_tokens == sent.usage.input_tokens == 5


async def test_models_are_listed_in_the_shape_of_the_protocol(claude, gpt):
    ours = [model.id async for model in claude.models.list()]
    theirs = [model.id async for model in gpt.models.list()]
    assert "claude-opus-5-5" in ours
    assert "gpt-5-mini" in theirs
    assert (await claude.models.retrieve("claude-haiku-4-5")).display_name == "Claude Haiku 4.5"
    assert (await gpt.models.retrieve("gpt-5")).owned_by == "openai"
    with pytest.raises(anthropic.NotFoundError):
        await claude.models.retrieve("nothing")
    with pytest.raises(openai.NotFoundError):
        await gpt.models.retrieve("nothing")


async def test_anthropic_headers_tell_the_request_and_the_limits(claude):
    raw = await claude.messages.with_raw_response.create(model="claude-opus-5-5", max_tokens=5, messages=HELLO)
    assert raw.headers["request-id"].startswith("req_")
    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "4000"
    again = await claude.messages.with_raw_response.create(model="claude-opus-5-5", max_tokens=5, messages=HELLO)
    assert int(again.headers["anthropic-ratelimit-output-tokens-remaining"]) <= 800_000


async def test_a_chat_completion_counts_cached_tokens_as_prompt_tokens(gpt):
    answer = await gpt.chat.completions.create(
        model="gpt-5", messages=HELLO, extra_headers=steer("input=100,cache_read=900,output=50,reasoning=20")
    )
    assert answer.usage.prompt_tokens == 1000
    assert answer.usage.prompt_tokens_details.cached_tokens == 900
    assert answer.usage.completion_tokens_details.reasoning_tokens == 20
    assert answer.choices[0].message.content


@pytest.mark.parametrize("wanted", [True, False], ids=["with-usage", "without-usage"])
async def test_a_chat_stream_has_usage_only_when_asked(gpt, wanted):
    options = {"stream_options": {"include_usage": True}} if wanted else {}
    stream = await gpt.chat.completions.create(
        model="gpt-5", messages=HELLO, stream=True, extra_headers=steer("input=9,output=50"), **options
    )
    chunks = [chunk async for chunk in stream]
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    assert [(usage.prompt_tokens, usage.completion_tokens) for usage in usages] == ([(9, 50)] if wanted else [])
    assert all(chunk.choices for chunk in chunks[:-1])
    assert bool(chunks[-1].choices) is not wanted


async def test_a_chat_tool_call_streams_its_arguments(gpt):
    tools = [{"type": "function", "function": {"name": "read", "parameters": SCHEMA}}]
    async with gpt.chat.completions.stream(
        model="gpt-5", messages=HELLO, tools=tools, tool_choice="required"
    ) as stream:
        answer = await stream.get_final_completion()
    assert answer.choices[0].finish_reason == "tool_calls"
    assert '"mode":"r"' in answer.choices[0].message.tool_calls[0].function.arguments


async def test_a_response_and_its_stream_have_the_same_usage(gpt):
    steered = steer("input=77,cache_read=23,output=40,reasoning=8")
    whole = await gpt.responses.create(model="gpt-5", input="Why?", extra_headers=steered)
    async with gpt.responses.stream(model="gpt-5", input="Why?", extra_headers=steered) as stream:
        kinds = [event.type async for event in stream]
        streamed = await stream.get_final_response()
    assert whole.usage == streamed.usage
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (100, 40)
    assert len(whole.output_text) == len(streamed.output_text) == 128
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"


async def test_instructions_may_stand_between_messages_as_claude_code_sends_them(claude):
    tool = {"name": "read", "input_schema": SCHEMA}
    called = {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {}}
    messages = [
        *HELLO,
        {"role": "system", "content": "The folder was changed."},
        {"role": "assistant", "content": [called]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "line"}]},
        {"role": "system", "content": "Be short."},
    ]
    said = await claude.messages.create(model="claude-opus-5-5", max_tokens=500, messages=messages, tools=[tool])
    assert said.stop_reason == "end_turn"  # it has the tool's result
    with pytest.raises(anthropic.BadRequestError, match="a role of user, assistant or system"):
        await claude.messages.create(model="claude-opus-5-5", max_tokens=5, messages=[{"role": "tool", "content": "x"}])


async def test_a_response_calls_functions_and_can_be_cut_short(gpt):
    tool = {"type": "function", "name": "read", "strict": False, "parameters": SCHEMA}
    called = await gpt.responses.create(model="gpt-5", input="Why?", tools=[tool], tool_choice="required")
    short = await gpt.responses.create(model="gpt-5", input="Why?", max_output_tokens=2)
    assert called.output[-1].type == "function_call"
    assert short.status == "incomplete"
    assert short.incomplete_details.reason == "max_output_tokens"


async def test_a_long_prompt_is_cached_by_openai_without_being_asked(gpt):
    messages = [{"role": "system", "content": "y" * 8000}, *HELLO]
    first = await gpt.chat.completions.create(model="gpt-5", messages=messages)
    second = await gpt.chat.completions.create(model="gpt-5", messages=messages)
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    cached = second.usage.prompt_tokens_details.cached_tokens
    assert cached >= 1920
    assert cached % 128 == 0


async def test_a_wrong_key_is_refused_when_one_is_set():
    async with TestServer(make_app(SimulatedSettings(speed=0, api_key="right"))) as server:
        url = str(server.make_url(""))
        async with anthropic.AsyncAnthropic(api_key="wrong", base_url=url, max_retries=0) as client:
            with pytest.raises(anthropic.AuthenticationError):
                await client.messages.create(model="m", max_tokens=5, messages=HELLO)
        async with openai.AsyncOpenAI(api_key="right", base_url=f"{url}/v1", max_retries=0) as client:
            assert await client.chat.completions.create(model="m", messages=HELLO)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", b"{not json"),
        ("/v1/messages", b"[]"),
        ("/v1/messages", b'{"model": "m", "messages": [7]}'),
        ("/v1/messages", b'{"model": "m", "messages": [{"role": "user", "content": 7}]}'),
        ("/v1/messages", b'{"model": "m", "max_tokens": -1, "messages": [{"role": "user", "content": "x"}]}'),
        ("/v1/messages/count_tokens", b'{"messages": 3}'),
        ("/v1/chat/completions", b'{"model": "m"}'),
        ("/v1/chat/completions", b'{"messages": [{"role": "user", "content": "x"}]}'),
        ("/v1/chat/completions", b'{"model": "m", "tools": [1], "messages": [{"role": "user", "content": "x"}]}'),
        ("/v1/responses", b'{"model": "m", "input": 5}'),
        ("/v1/responses", b"\xff"),
    ],
)
async def test_a_body_that_is_not_valid_is_refused_as_a_provider_would(server, path, body):
    import aiohttp

    async with aiohttp.ClientSession() as session, session.post(server.make_url(path), data=body) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["message"]


async def test_the_log_tells_what_was_served_and_can_be_cleared(claude, server):
    import aiohttp

    await claude.messages.create(model="m", max_tokens=5, messages=HELLO, extra_headers=steer("input=3,output=4"))
    async with aiohttp.ClientSession(server.make_url("/")) as session:
        async with session.get("/simulated/log") as answer:
            (entry,) = await answer.json()
        assert (entry["model"], entry["tokens"]["output"], entry["steering"]) == ("m", 4, "input=3,output=4")
        async with session.delete("/simulated/log") as answer:
            assert answer.status == 204
        async with session.get("/simulated/totals") as answer:
            assert (await answer.json())["requests"] == 0
