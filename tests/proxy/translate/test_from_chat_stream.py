"""Streams of OpenAI-style providers, as a Messages client gets them."""

import json
from typing import Any

import pytest

from tests.proxy.translate.translating import (
    call_piece,
    chat_stream,
    chunk,
    events_of,
    messages_call,
    same_at_every_cut,
    through,
    transcript,
    usage_chunk,
)

ROLE = chunk({"role": "assistant", "content": ""})
TEXT = chunk({"content": "Hi"})
STOP = chunk({}, "stop")
CALLS = chunk({}, "tool_calls")
HI = ["message_start", "0 text", "0 + Hi", "0 stop"]


def piece(index: int | None = 0, arguments: str = "", **named: str) -> dict[str, Any]:
    return chunk(call_piece(index, arguments, **named))


def thinking_call(**request: Any) -> Any:
    return messages_call(stream=True, thinking={"type": "adaptive"}, **request)


def seen(stream: bytes) -> list[str]:
    return transcript(through(thinking_call().streamed(), stream))


#: The provider's chunks; what the client sees between message_start and message_stop.
STREAMS = [
    pytest.param([ROLE, TEXT, chunk({"content": " you"}), STOP], ["0 text", "0 + Hi", "0 +  you", "0 stop"], id="text"),
    pytest.param([ROLE, STOP], [], id="nothing"),
    pytest.param([chunk({"content": None}), TEXT, STOP], ["0 text", "0 + Hi", "0 stop"], id="null content"),
    pytest.param([ROLE, chunk({"content": "\n"}), STOP], [], id="no block of white space"),
    pytest.param(
        [chunk({"content": "\n"}), TEXT, STOP], ["0 text", "0 + \nHi", "0 stop"], id="white space before a text"
    ),
    pytest.param(
        [chunk({"reasoning_content": "hm"}), chunk({"reasoning": "!"}), TEXT, STOP],
        ["0 thinking", "0 + hm", "0 + !", "0 stop", "1 text", "1 + Hi", "1 stop"],
        id="thinking",
    ),
    pytest.param(
        [TEXT, chunk({"reasoning": "hm"}), TEXT, STOP],
        [*HI[1:], "1 thinking", "1 + hm", "1 stop", "2 text", "2 + Hi", "2 stop"],
        id="thinking in between",
    ),
    pytest.param(
        [TEXT, piece(0, "", id="t", name="f"), piece(0, '{"a'), piece(0, '":1}'), CALLS],
        [*HI[1:], "1 tool_use t f {}", '1 + {"a', '1 + ":1}', "1 stop"],
        id="text and a call",
    ),
    pytest.param(
        [piece(0, "", id="t", name="f"), CALLS], ["0 tool_use t f {}", "0 + {}", "0 stop"], id="empty arguments"
    ),
    pytest.param(
        [piece(0, "{}", id="t", name="f"), piece(1, "{}", id="u", name="g"), CALLS],
        ["0 tool_use t f {}", "0 + {}", "0 stop", "1 tool_use u g {}", "1 + {}", "1 stop"],
        id="two calls",
    ),
    pytest.param(
        [
            piece(0, "", id="t", name="f"),
            piece(1, "", id="u", name="g"),
            piece(1, '{"b'),
            piece(0, '{"a"'),
            piece(1, '":2}'),
            piece(0, ":1}"),
            CALLS,
        ],
        ["0 tool_use t f {}", '0 + {"a"', "0 + :1}", "0 stop", "1 tool_use u g {}", '1 + {"b":2}', "1 stop"],
        id="interleaved calls go one after the other",
    ),
    pytest.param(
        [piece(0, "", id="t", name="f"), piece(1, "{}", id="u", name="g"), CALLS],
        ["0 tool_use t f {}", "0 + {}", "0 stop", "1 tool_use u g {}", "1 + {}", "1 stop"],
        id="a call without input before another",
    ),
    pytest.param(
        [piece(0, '{"a"', id="t", name="f"), piece(0, ":1}", id="t", name="f"), CALLS],
        ["0 tool_use t f {}", '0 + {"a"', "0 + :1}", "0 stop"],
        id="id and name in every piece are still one call",
    ),
    pytest.param(
        [piece(0, "{}", id="t", name="f"), piece(0, "{}", id="u", name="f"), CALLS],
        ["0 tool_use t f {}", "0 + {}", "0 stop", "1 tool_use u f {}", "1 + {}", "1 stop"],
        id="two calls at the same place",
    ),
    pytest.param(
        [piece(None, "{}", id="t", name="f"), piece(None, "{}", id="u", name="g"), CALLS],
        ["0 tool_use t f {}", "0 + {}", "0 stop", "1 tool_use u g {}", "1 + {}", "1 stop"],
        id="calls without a place",
    ),
    pytest.param(
        [piece(None, "{}", name="f"), piece(None, "{}", name="g"), CALLS],
        ["0 tool_use toolu_r1_0 f {}", "0 + {}", "0 stop", "1 tool_use toolu_r1_1 g {}", "1 + {}", "1 stop"],
        id="calls without a place or an id",
    ),
    pytest.param(
        [piece(0, "", id="t", name="get_"), piece(0, "", name="it"), piece(0, "{}"), CALLS],
        ["0 tool_use t get_it {}", "0 + {}", "0 stop"],
        id="a name in pieces",
    ),
    pytest.param(
        [piece(0, "{}", id="t", name="f"), TEXT, CALLS],
        ["0 tool_use t f {}", "0 + {}", "0 stop", "1 text", "1 + Hi", "1 stop"],
        id="a text behind a call",
    ),
    pytest.param(
        [piece(0, '{"a"', id="t", name="f"), TEXT, piece(0, ":1}"), CALLS],
        ["0 tool_use t f {}", '0 + {"a"', "0 + :1}", "0 stop", "1 text", "1 + Hi", "1 stop"],
        id="a text within a call waits",
    ),
    pytest.param(
        [chunk({"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": {"a": 1}}}]}), CALLS],
        ["0 tool_use t f {}", '0 + {"a":1}', "0 stop"],
        id="arguments as an object",
    ),
    pytest.param(
        [chunk({"function_call": {"name": "f", "arguments": "{}"}}), chunk({}, "function_call")],
        ["0 tool_use toolu_r1_0 f {}", "0 + {}", "0 stop"],
        id="the older form of a call",
    ),
    pytest.param(
        [chunk({"content": [{"type": "text", "text": "Hi"}]}), STOP], ["0 text", "0 + Hi", "0 stop"], id="parts"
    ),
    pytest.param([{"model": "x", "object": "ping"}, TEXT, STOP], HI[1:], id="an unknown event"),
    pytest.param(
        [chunk() | {"choices": [{"index": 1, "delta": {"content": "other"}}]}, TEXT, STOP], HI[1:], id="another choice"
    ),
]


@pytest.mark.parametrize(("chunks", "expected"), STREAMS)
def test_a_stream(chunks: list[Any], expected: list[str]):
    shown = seen(chat_stream(*chunks, usage_chunk()))
    reason = "tool_use" if any("tool_use" in line for line in expected) else "end_turn"
    assert shown == ["message_start", *expected, f"end {reason}", "message_stop"]


@pytest.mark.parametrize(("chunks", "expected"), STREAMS)
def test_one_block_is_open_at_a_time_and_each_is_closed(chunks: list[Any], expected: list[str]):
    opened: list[int] = []
    closed: list[int] = []
    for event in events_of(through(thinking_call().streamed(), chat_stream(*chunks))):
        match event:
            case {"type": "content_block_start", "index": index}:
                assert opened == closed
                opened.append(index)
            case {"type": "content_block_delta", "index": index}:
                assert (opened[-1:], len(closed)) == ([index], len(opened) - 1)
            case {"type": "content_block_stop", "index": index}:
                closed.append(index)
    assert opened == closed == list(range(len(opened)))


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_way_of_cutting_a_stream_gives_the_same(line_end: str):
    chunks = [
        *(ROLE, chunk({"reasoning": "hm"}), chunk({"content": "Grüße 🌍"}), piece(0, "", id="t", name="f")),
        *(piece(1, '{"b":', id="u", name="g"), piece(0, '{"a":1}'), piece(1, "2}"), CALLS, usage_chunk()),
    ]
    stream = b"\xef\xbb\xbf: hello\n\n" + chat_stream(*chunks)
    call = thinking_call()
    translated = same_at_every_cut(iter(call.streamed, None), stream.replace(b"\n", line_end.encode()))
    assert transcript(translated)[-2:] == ["end tool_use", "message_stop"]
    assert "1 + Grüße 🌍" in transcript(translated)


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        ([TEXT, chunk({}, "length")], "max_tokens"),
        ([TEXT, chunk({}, "content_filter")], "refusal"),
        ([chunk({"refusal": "No."}), STOP], "refusal"),
        ([TEXT, chunk({}, "something new")], "end_turn"),
        ([TEXT, CALLS], "end_turn"),
        ([piece(0, "{}", id="t", name="f"), STOP], "tool_use"),
        ([piece(0, '{"a', id="t", name="f"), chunk({}, "length")], "max_tokens"),
        ([TEXT], "end_turn"),
    ],
)
def test_how_an_answer_ended(chunks: list[Any], reason: str):
    assert seen(chat_stream(*chunks))[-2:] == [f"end {reason}", "message_stop"]


def test_a_stop_sequence_is_told_where_the_provider_tells_it():
    ended = chunk() | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": "END"}]}
    streamed = thinking_call(stop_sequences=["END"]).streamed()
    delta = events_of(through(streamed, chat_stream(TEXT, ended)))[-2]["delta"]
    assert delta == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


def test_thinking_nobody_asked_for_is_not_shown():
    streamed = messages_call(stream=True).streamed()
    assert transcript(through(streamed, chat_stream(chunk({"reasoning": "hm"}), TEXT, STOP)))[1:3] == [
        "0 text",
        "0 + Hi",
    ]


def test_the_start_tells_the_estimate_and_the_end_the_counts():
    usage = usage_chunk(prompt_tokens_details={"cached_tokens": 5})
    events = events_of(through(thinking_call().streamed(), chat_stream(ROLE, TEXT, STOP, usage)))
    zero = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    message = events[0]["message"]
    assert message["usage"] == {"input_tokens": 7, **zero, "output_tokens": 0}
    assert (message["id"], message["model"], message["content"]) == ("msg_r1", "gpt-x", [])
    assert events[-2]["usage"] == {"input_tokens": 15, **zero, "cache_read_input_tokens": 5, "output_tokens": 6}


def test_running_counts_are_told_from_the_start_and_the_last_ones_win():
    first, last = ({"usage": usage_chunk(completion_tokens=n)["usage"]} for n in (1, 9))
    events = events_of(through(thinking_call().streamed(), chat_stream(ROLE | first, TEXT, STOP | last)))
    assert events[0]["message"]["usage"]["input_tokens"] == 20
    assert events[-2]["usage"]["output_tokens"] == 9


def test_without_counts_the_estimates_stand():
    usage = events_of(through(thinking_call().streamed(), chat_stream(ROLE, TEXT, STOP)))[-2]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (7, 1)


def test_a_stream_that_ends_after_its_reason_is_complete_without_done():
    assert seen(chat_stream(TEXT, STOP, done=False))[-2:] == ["end end_turn", "message_stop"]


def test_the_last_event_counts_without_its_blank_line():
    assert seen(chat_stream(TEXT, STOP).rstrip(b"\n"))[-1] == "message_stop"


UNFINISHED = "error api_error: the provider's answer ended before it was finished"
UNREADABLE = "error api_error: the provider's answer cannot be read"
BAD_STREAMS = [
    (b"", UNFINISHED),
    (b"data: [DONE]\n\n", UNFINISHED),
    (chat_stream(TEXT, done=False), UNFINISHED),
    (chat_stream(piece(0, '{"a', id="t", name="f"), done=False), UNFINISHED),
    (chat_stream(TEXT, chunk({}, "error")), UNFINISHED),
    (chat_stream(TEXT)[:-25] + b"\n\ndata: [DONE]\n\n", UNREADABLE),
    (b"<html>oops</html>", UNFINISHED),
    (chat_stream(piece(0, "{}", id="t", name="f"), TEXT, piece(0, "more"), CALLS), UNREADABLE),
    (chat_stream(TEXT, {"error": {"message": "boom", "code": "rate_limit_exceeded"}}), "error rate_limit_error: boom"),
    (chat_stream(TEXT, {"error": {"message": "boom", "code": 502}}), "error api_error: boom"),
    (chat_stream(TEXT, {"error": "boom"}), "error api_error: boom"),
    (chat_stream({"object": "error", "message": "boom", "code": 400}), "error invalid_request_error: boom"),
    (
        chat_stream({"error": {"message": "too big", "code": "context_length_exceeded"}}),
        "error invalid_request_error: prompt is too long: too big",
    ),
]


@pytest.mark.parametrize(("stream", "error"), BAD_STREAMS)
def test_a_stream_that_went_wrong_ends_with_one_error_and_no_good_end(stream: bytes, error: str):
    shown = seen(stream + chat_stream(TEXT, STOP)) if "boom" in error else seen(stream)
    assert shown[-1] == error
    assert "message_stop" not in shown
    assert sum(line.startswith("error") for line in shown) == 1


def test_a_broken_connection_is_an_error_but_not_after_the_end():
    streamed = thinking_call().streamed()
    streamed.feed(chat_stream(TEXT, STOP, done=False))
    broken = transcript(streamed.broken())
    assert broken == ["error api_error: the connection to the provider broke before the answer ended"]
    assert streamed.flush() == b""
    ended = thinking_call().streamed()
    ended.feed(chat_stream(TEXT, STOP))
    assert (ended.broken(), ended.flush()) == (b"", b"")


def test_text_is_passed_on_as_it_comes():
    streamed = thinking_call().streamed()
    streamed.feed(chat_stream(ROLE, done=False))
    assert transcript(streamed.feed(chat_stream(TEXT, done=False))) == ["0 text", "0 + Hi"]
    assert transcript(streamed.feed(chat_stream(TEXT, done=False))) == ["0 + Hi"]


ODD = [None, 5, "x", [], {}, True, [None], [5], {"a": []}]


@pytest.mark.parametrize(
    "field", ["choices", "model", "usage", "delta", "content", "tool_calls", "finish_reason", "id"]
)
@pytest.mark.parametrize("odd", ODD, ids=map(json.dumps, ODD))
def test_odd_values_of_a_provider_never_crash(field: str, odd: Any):
    call = {"index": 0, "id": "t", "function": {"name": "f", "arguments": "{}"}}
    choice: dict[str, Any] = {"index": 0, "delta": {"content": "Hi", "tool_calls": [call]}, "finish_reason": None}
    event = chunk() | {"choices": [choice]}
    for place in (event, choice, choice["delta"], call):
        if field in place:
            place[field] = odd
    shown = seen(chat_stream(event, STOP))
    assert shown[-1] == "message_stop"
