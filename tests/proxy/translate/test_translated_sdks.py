"""The real SDKs in front of a translating server, and it in front of a provider that plays a part."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anthropic
import openai
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from data.model import Endpoint, Protocol
from proxy.translate import TRANSLATIONS
from tests.proxy.translate.test_from_messages_stream import HI, THOUGHT, use
from tests.proxy.translate.translating import (
    call_piece,
    chat_stream,
    chunk,
    context,
    message_end,
    message_start,
    message_stream,
    usage_chunk,
)

PATHS = {
    "/v1/messages": (Endpoint.MESSAGES, Protocol.OPENAI),
    "/v1/chat/completions": (Endpoint.CHAT_COMPLETIONS, Protocol.ANTHROPIC),
}
HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"name": "read", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}

#: Plays a provider: the status and the body of its answer.
Play = Callable[[dict[str, Any]], tuple[int, bytes]]


class Stage:
    """What the provider answers with, and what it was asked."""

    def __init__(self) -> None:
        self.play: Play = lambda _: (500, b"")
        self.asked: list[dict[str, Any]] = []

    async def provide(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        status, body = self.play(self.asked[-1])
        kind = "text/event-stream" if status == 200 and self.asked[-1].get("stream") else "application/json"
        return web.Response(status=status, body=body, content_type=kind)


def translating(provider: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler that translates to the provider and back, seven bytes of a stream at a time."""

    async def handle(request: web.Request) -> web.Response:
        call = TRANSLATIONS[PATHS[request.path]](await request.read(), context())
        async with ClientSession() as session:
            async with session.post(f"{provider}{call.path}", data=call.body, headers=dict(call.headers)) as answer:
                body = await answer.read()
        if answer.status != 200:
            status, error = call.error(answer.status, body)
            return web.Response(status=status, body=error, content_type="application/json")
        if not call.stream:
            return web.Response(body=call.whole(body), content_type="application/json")
        streamed = call.streamed()
        pieces = [streamed.feed(body[i : i + 7]) for i in range(0, len(body), 7)]
        return web.Response(body=b"".join(pieces) + streamed.flush(), content_type="text/event-stream")

    return handle


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
async def url(stage: Stage) -> AsyncIterator[str]:
    provider, proxy = web.Application(), web.Application()
    for path in PATHS:
        provider.router.add_post(path, stage.provide)
    async with TestServer(provider) as theirs:
        for path in PATHS:
            proxy.router.add_post(path, translating(str(theirs.make_url("")).rstrip("/")))
        async with TestServer(proxy) as ours:
            yield str(ours.make_url("")).rstrip("/")


@pytest.fixture
async def claude(url: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(api_key="key", base_url=url, max_retries=0) as client:
        yield client


@pytest.fixture
async def gpt(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key="key", base_url=f"{url}/v1", max_retries=0) as client:
        yield client


CALLS = [
    chunk({"role": "assistant", "content": None}),
    chunk({"reasoning_content": "hm"}),
    chunk({"content": "Grüße "}),
    chunk({"content": "🌍"}),
    chunk(call_piece(0, "", id="call_1", name="read")),
    chunk(call_piece(1, "", id="call_2", name="read")),
    chunk(call_piece(1, '{"path": "b')),
    chunk(call_piece(0, '{"path": ')),
    chunk(call_piece(0, '"a"}')),
    chunk(call_piece(1, '"}')),
    chunk(call_piece(2, "", id="call_3", name="list")),
    chunk({}, "tool_calls"),
    usage_chunk(prompt_tokens_details={"cached_tokens": 5}, completion_tokens_details={"reasoning_tokens": 2}),
]
WHOLE = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-x",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "Grüße 🌍",
                "reasoning_content": "hm",
                "tool_calls": [
                    {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
                    for i, name, arguments in [
                        (1, "read", '{"path":"a"}'),
                        (2, "read", '{"path":"b"}'),
                        (3, "list", ""),
                    ]
                ],
            },
        }
    ],
    "usage": CALLS[-1]["usage"],
}


def plays(whole: Any, stream: bytes) -> Play:
    return lambda asked: (200, stream if asked.get("stream") else json.dumps(whole).encode())


def by_its_parts(message: Any) -> Any:
    thought, text, *calls = message.content
    return thought.thinking, text.text, [(call.id, call.name, call.input) for call in calls]


async def test_claude_sees_the_same_message_streamed_and_whole(claude, stage: Stage):
    stage.play = plays(WHOLE, chat_stream(*CALLS))
    asked: dict[str, Any] = {"model": "claude-opus-5-5", "max_tokens": 9_000, "messages": HELLO, "tools": [TOOL]}
    asked["thinking"] = {"type": "adaptive"}
    whole = await claude.messages.create(**asked)
    async with claude.messages.stream(**asked) as stream:
        streamed = await stream.get_final_message()
    calls = [("call_1", "read", {"path": "a"}), ("call_2", "read", {"path": "b"}), ("call_3", "list", {})]
    assert by_its_parts(streamed) == by_its_parts(whole) == ("hm", "Grüße 🌍", calls)
    for message in (whole, streamed):
        assert (message.model, message.stop_reason) == ("gpt-x", "tool_use")
        usage = message.usage
        assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (15, 5, 6)
        assert usage.output_tokens_details.thinking_tokens == 2
    assert stage.asked[1]["stream_options"] == {"include_usage": True}


async def test_claude_goes_on_with_what_it_got(claude, stage: Stage):
    stage.play = plays(WHOLE, chat_stream(*CALLS))
    asked: dict[str, Any] = {"model": "claude-opus-5-5", "max_tokens": 900, "thinking": {"type": "adaptive"}}
    message = await claude.messages.create(**asked, messages=HELLO)
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "ok"}
        for block in message.content
        if block.type == "tool_use"
    ]
    answered = [*HELLO, message.to_param(), {"role": "user", "content": results}]
    await claude.messages.create(**asked, messages=answered)
    said = stage.asked[1]["messages"]
    assert [each["role"] for each in said] == ["user", "assistant", "tool", "tool", "tool"]
    assert [call["id"] for call in said[1]["tool_calls"]] == [each["tool_call_id"] for each in said[2:]]


async def test_claude_sees_a_stream_that_breaks_off_as_an_error(claude, stage: Stage):
    stage.play = plays(WHOLE, chat_stream(*CALLS[:5], done=False))
    with pytest.raises(anthropic.APIStatusError, match="ended before it was finished"):
        async with claude.messages.stream(model="c", max_tokens=9, messages=HELLO) as stream:
            await stream.get_final_message()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (429, anthropic.RateLimitError),
        (503, anthropic.InternalServerError),
    ],
)
async def test_claude_sees_a_providers_errors_as_its_own(claude, stage: Stage, status: int, error: type):
    stage.play = lambda _: (status, b'{"error":{"message":"boom","type":"t","code":null}}')
    with pytest.raises(error, match="boom"):
        await claude.messages.create(model="c", max_tokens=9, messages=HELLO)


MESSAGE = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "u", "name": "f", "input": {}},
    ],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 10, "cache_read_input_tokens": 3, "output_tokens": 6},
}


def shifted(events: list[dict[str, Any]], by: int) -> list[dict[str, Any]]:
    return [event | {"index": event["index"] + by} for event in events]


EVENTS = message_stream(
    message_start(cache_read_input_tokens=3),
    *THOUGHT,
    *shifted(HI, 1),
    *use(2, "t", '{"a', '":1}'),
    *use(3, "u"),
    *message_end("tool_use"),
)


async def test_a_chat_client_sees_the_same_answer_streamed_and_whole(gpt, stage: Stage):
    stage.play = plays(MESSAGE, EVENTS)
    whole = await gpt.chat.completions.create(model="gpt-5.2", messages=HELLO)
    options = {"include_usage": True}
    async with gpt.chat.completions.stream(model="gpt-5.2", messages=HELLO, stream_options=options) as stream:
        streamed = await stream.get_final_completion()
    for answer in (whole, streamed):
        choice, usage = answer.choices[0], answer.usage
        calls = [
            (call.id, call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls
        ]
        assert (choice.message.content, choice.finish_reason) == ("Hi", "tool_calls")
        assert calls == [("t", "f", {"a": 1}), ("u", "f", {})]
        assert (answer.model, usage.prompt_tokens, usage.completion_tokens) == ("claude-x", 13, 6)
        assert usage.prompt_tokens_details.cached_tokens == 3
    assert whole.choices[0].message.reasoning_content == "hm"


async def test_a_chat_client_sees_a_stream_that_breaks_off_as_an_error(gpt, stage: Stage):
    stage.play = plays(MESSAGE, message_stream(message_start(), *HI))
    with pytest.raises(openai.APIError, match="ended before it was finished"):
        async for _ in await gpt.chat.completions.create(model="gpt-5.2", messages=HELLO, stream=True):
            pass


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, openai.BadRequestError), (429, openai.RateLimitError), (529, openai.InternalServerError)],
)
async def test_a_chat_client_sees_anthropics_errors_as_openais(gpt, stage: Stage, status: int, error: type):
    stage.play = lambda _: (status, b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}')
    with pytest.raises(error, match="busy"):
        await gpt.chat.completions.create(model="gpt-5.2", messages=HELLO)
