"""Anthropic's streams, as a Chat client gets them."""

import json
from typing import Any

import pytest

from tests.proxy.translate.translating import (
    block,
    chat_call,
    deltas,
    events_of,
    message_end,
    message_start,
    message_stream,
    same_at_every_cut,
    through,
)

ROLE = {"role": "assistant", "content": "", "refusal": None}
HI = block(0, "text", {"type": "text_delta", "text": "Hi"}, text="")


def json_delta(piece: str) -> dict[str, str]:
    return {"type": "input_json_delta", "partial_json": piece}


def use(index: int, tool_id: str, *pieces: str, **start: Any) -> list[dict[str, Any]]:
    return block(index, "tool_use", *map(json_delta, pieces), **({"id": tool_id, "name": "f", "input": {}} | start))


def begun(index: int, tool_id: str) -> dict[str, Any]:
    call = {"index": index, "id": tool_id, "type": "function", "function": {"name": "f", "arguments": ""}}
    return {"tool_calls": [call]}


def piece(index: int, arguments: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}


def seen(stream: bytes, **request: Any) -> list[Any]:
    return deltas(through(chat_call(stream=True, **request).streamed(), stream))


THOUGHT = block(
    0, "thinking", {"type": "thinking_delta", "thinking": "hm"}, {"type": "signature_delta", "signature": "s"}
)
STREAMS = [
    pytest.param([*HI, *message_end()], [{"content": "Hi"}, "stop"], id="text"),
    pytest.param([*message_end()], ["stop"], id="nothing"),
    pytest.param([*HI, *message_end("max_tokens")], [{"content": "Hi"}, "length"], id="cut off"),
    pytest.param([*HI, *message_end("refusal")], [{"content": "Hi"}, "content_filter"], id="refused"),
    pytest.param([*THOUGHT, *message_end()], [{"reasoning_content": "hm"}, "stop"], id="thinking"),
    pytest.param([{"type": "ping"}, {"type": "new"}, *HI, *message_end()], [{"content": "Hi"}, "stop"], id="unknown"),
    pytest.param(
        [*HI, *use(1, "t", '{"a', '":1}'), *use(2, "u", "{}"), *message_end("tool_use")],
        [
            {"content": "Hi"},
            begun(0, "t"),
            piece(0, '{"a'),
            piece(0, '":1}'),
            begun(1, "u"),
            piece(1, "{}"),
            "tool_calls",
        ],
        id="text and calls",
    ),
    pytest.param(
        [*use(0, "t", ""), *message_end("tool_use")], [begun(0, "t"), piece(0, "{}"), "tool_calls"], id="no input"
    ),
    pytest.param(
        [*use(0, "t", input={"a": 1}), *message_end("tool_use")],
        [begun(0, "t"), piece(0, '{"a":1}'), "tool_calls"],
        id="input told at the start",
    ),
    pytest.param(
        [*block(0, "text", text="Hi"), *message_end()], [{"content": "Hi"}, "stop"], id="text told at the start"
    ),
]


@pytest.mark.parametrize(("events", "expected"), STREAMS)
def test_a_stream(events: list[Any], expected: list[Any]):
    assert seen(message_stream(message_start(), *events)) == [ROLE, *expected, "[DONE]"]


def test_every_way_of_cutting_a_stream_gives_the_same():
    said = block(0, "text", {"type": "text_delta", "text": "Grüße 🌍"}, text="")
    stream = message_stream(message_start(), *said, *use(1, "t", '{"a', '":1}'), *message_end("tool_use"))
    call = chat_call(stream=True, stream_options={"include_usage": True})
    translated = deltas(same_at_every_cut(iter(call.streamed, None), stream))
    assert translated[1] == {"content": "Grüße 🌍"}
    assert translated[-1] == "[DONE]"


def test_the_counts_are_told_only_to_who_asks():
    stream = message_stream(message_start(cache_read_input_tokens=3), *HI, *message_end())
    assert all("usage" not in each for each in events_of(through(chat_call(stream=True).streamed(), stream))[:-1])
    *chunks, last, done = events_of(
        through(chat_call(stream=True, stream_options={"include_usage": True}).streamed(), stream)
    )
    assert all(chunk["usage"] is None for chunk in chunks)
    assert (last["choices"], done) == ([], "[DONE]")
    usage = last["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (13, 6, 19)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 3


def test_every_chunk_says_what_answered():
    for event in events_of(through(chat_call(stream=True).streamed(), message_stream(message_start(), *message_end())))[
        :-1
    ]:
        told = event["id"], event["object"], event["model"], event["created"]
        assert told == ("chatcmpl-r1", "chat.completion.chunk", "claude-x", 1_700_000_000)


def error(message: str, kind: str = "server_error", code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


UNFINISHED = error("the provider's answer ended before it was finished")
UNREADABLE = error("the provider's answer cannot be read")
BAD_STREAMS = [
    (b"", UNFINISHED),
    (message_stream(message_start(), *HI), UNFINISHED),
    (message_stream(message_start()) + b"data: {oops\n\n" + message_stream(*message_end()), UNREADABLE),
    (message_stream({"type": "message_stop"}), UNREADABLE),
    (
        message_stream(message_start(), {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}),
        error("busy", "service_unavailable", "overloaded_error"),
    ),
]


@pytest.mark.parametrize(("stream", "expected"), BAD_STREAMS)
def test_a_stream_that_went_wrong_ends_with_one_error_and_not_with_done(stream: bytes, expected: Any):
    shown = seen(stream)
    assert shown[-1] == expected
    assert "[DONE]" not in shown


def test_a_stream_that_ends_after_its_reason_is_complete():
    assert seen(message_stream(message_start(), *HI, message_end()[0]))[-2:] == ["stop", "[DONE]"]


def test_a_broken_connection_is_an_error_but_not_after_the_end():
    streamed = chat_call(stream=True).streamed()
    streamed.feed(message_stream(message_start(), *HI, message_end()[0]))
    assert deltas(streamed.broken()) == [error("the connection to the provider broke before the answer ended")]
    assert streamed.flush() == b""
    ended = chat_call(stream=True).streamed()
    ended.feed(message_stream(message_start(), *message_end()))
    assert (ended.broken(), ended.flush()) == (b"", b"")


def test_why_a_model_refuses_is_told():
    end, stop = message_end("refusal")
    end["delta"]["stop_details"] = {"type": "refusal", "explanation": "No."}
    last = events_of(through(chat_call(stream=True).streamed(), message_stream(message_start(), end, stop)))[-2]
    assert last["choices"][0]["delta"] == {"refusal": "No."}


ODD = [None, 5, "x", [], {}, True, [None]]


@pytest.mark.parametrize(
    "field", ["type", "message", "index", "content_block", "delta", "usage", "model", "input", "id"]
)
@pytest.mark.parametrize("odd", ODD, ids=map(json.dumps, ODD))
def test_odd_values_of_a_provider_never_crash(field: str, odd: Any):
    events = json.loads(json.dumps([message_start(), *HI, *use(1, "t", "{}"), *message_end("tool_use")]))
    for event in events:
        for place in (event, *(value for value in event.values() if isinstance(value, dict))):
            if field in place:
                place[field] = odd
    stream = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)
    assert seen(stream)
