"""Whole answers of OpenAI-style providers, as a Messages client gets them."""

import json
from typing import Any

import pytest

from tests.proxy.translate.test_to_chat import called
from tests.proxy.translate.translating import messages_call

USAGE = {"prompt_tokens": 20, "completion_tokens": 6, "total_tokens": 26}


def answer(message: Any, finish: Any = "stop", **others: Any) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": finish, **others.pop("choice", {})}
    body = {"id": "c", "object": "chat.completion", "model": "gpt-x", "choices": [choice], "usage": USAGE, **others}
    return json.dumps(body).encode()


def got(body: bytes, **request: Any) -> dict[str, Any]:
    return json.loads(messages_call(**request).whole(body))


def say(content: Any, **others: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **others}


TEXT = {"type": "text", "text": "Hi"}
INVALID = {"INVALID_JSON": '{"a'}


def use(tool_id: str, given: Any = None) -> dict[str, Any]:
    return {"type": "tool_use", "id": tool_id, "name": "read", "input": given or {}}


ANSWERS = [
    pytest.param(say("Hi"), "stop", [TEXT], "end_turn", id="text"),
    pytest.param(say("Hi"), "length", [TEXT], "max_tokens", id="cut off"),
    pytest.param(say("Hi"), "content_filter", [TEXT], "refusal", id="filtered"),
    pytest.param(say(None, refusal="No."), "stop", [{"type": "text", "text": "No."}], "refusal", id="refused"),
    pytest.param(say(""), "stop", [], "end_turn", id="nothing"),
    pytest.param(say(" \n"), "stop", [], "end_turn", id="white space is no text"),
    pytest.param(say("Hi", tool_calls=[called("t")]), "tool_calls", [TEXT, use("t")], "tool_use", id="text and call"),
    pytest.param(say(None, tool_calls=[called("t")]), "stop", [use("t")], "tool_use", id="a call that says stop"),
    pytest.param(say("Hi"), "tool_calls", [TEXT], "end_turn", id="no call that says tool_calls"),
    pytest.param(say("Hi", tool_calls=None), "stop", [TEXT], "end_turn", id="null calls"),
    pytest.param(
        say(None, tool_calls=[called("t", arguments="")]), "tool_calls", [use("t")], "tool_use", id="no input"
    ),
    pytest.param(
        say(None, tool_calls=[called("t", arguments="null")]), "tool_calls", [use("t")], "tool_use", id="null input"
    ),
    pytest.param(
        say(None, tool_calls=[called("t", arguments='{"a')]),
        "length",
        [use("t", INVALID)],
        "max_tokens",
        id="cut input",
    ),
    pytest.param(
        say(None, tool_calls=[called("t") | {"function": {"name": "read", "arguments": {"a": 1}}}]),
        "tool_calls",
        [use("t", {"a": 1})],
        "tool_use",
        id="input as an object",
    ),
    pytest.param(
        say(None, tool_calls=[called("t"), called("t"), called("")]),
        "tool_calls",
        [use("t"), use("toolu_r1_1"), use("toolu_r1_2")],
        "tool_use",
        id="each call has an id of its own",
    ),
    pytest.param(
        say(None, function_call={"name": "read", "arguments": "{}"}),
        "function_call",
        [use("toolu_r1_0")],
        "tool_use",
        id="the older form of a call",
    ),
    pytest.param(say([TEXT, {"type": "image"}, 3]), "stop", [TEXT], "end_turn", id="parts"),
    pytest.param(say("Hi"), None, [TEXT], "end_turn", id="no reason"),
    pytest.param(say("Hi"), {"odd": 1}, [TEXT], "end_turn", id="an odd reason"),
]


@pytest.mark.parametrize(("message", "finish", "content", "reason"), ANSWERS)
def test_an_answer(message: Any, finish: Any, content: list[Any], reason: str):
    assert got(answer(message, finish)) == {
        "id": "msg_r1",
        "type": "message",
        "role": "assistant",
        "model": "gpt-x",
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 20,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 6,
        },
    }


THOUGHTS = [
    say("Hi", reasoning_content="hm"),
    say("Hi", reasoning="hm"),
    say([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, TEXT]),
]


@pytest.mark.parametrize("message", THOUGHTS, ids=["reasoning_content", "reasoning", "a part"])
def test_thinking_is_shown_to_who_asked_for_it(message: Any):
    thought = {"type": "thinking", "thinking": "hm", "signature": ""}
    assert got(answer(message), thinking={"type": "adaptive"})["content"] == [thought, TEXT]
    assert got(answer(message), thinking={"type": "adaptive", "display": "omitted"})["content"] == [TEXT]
    assert got(answer(message))["content"] == [TEXT]


def test_a_stop_sequence_is_told_where_the_provider_tells_it():
    body = answer(say("Hi"), choice={"stop_reason": "END"})
    told = got(body, stop_sequences=["END"])
    assert (told["stop_reason"], told["stop_sequence"]) == ("stop_sequence", "END")
    assert got(body)["stop_reason"] == "end_turn"
    assert got(answer(say("Hi"), choice={"stop_reason": 128009}), stop_sequences=["END"])["stop_reason"] == "end_turn"


USAGES = [
    pytest.param({"prompt_tokens_details": {"cached_tokens": 5}}, (15, 0, 5, 6), id="cached"),
    pytest.param({"prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3}}, (12, 3, 5, 6), id="written"),
    pytest.param({"prompt_tokens_details": {"cached_tokens": 50}}, (0, 0, 50, 6), id="more cached than asked"),
    pytest.param({"prompt_cache_hit_tokens": 4}, (16, 0, 4, 6), id="DeepSeek's"),
    pytest.param({"prompt_tokens": -3, "completion_tokens": "x"}, (0, 0, 0, 0), id="nonsense"),
]


@pytest.mark.parametrize(("usage", "expected"), USAGES)
def test_counts_are_disjoint(usage: dict[str, Any], expected: tuple[int, ...]):
    counts = got(answer(say("Hi"), usage={**USAGE, **usage}))["usage"]
    assert tuple(counts.values()) == expected


def test_thinking_is_counted():
    usage = {**USAGE, "completion_tokens_details": {"reasoning_tokens": 4}}
    assert got(answer(say("Hi"), usage=usage))["usage"]["output_tokens_details"] == {"thinking_tokens": 4}


@pytest.mark.parametrize("usage", [None, {}, "many", []])
def test_without_counts_the_estimate_stands(usage: Any):
    counts = got(answer(say("Hi"), usage=usage))["usage"]
    assert counts["input_tokens"] == 7
    assert counts["output_tokens"] > 0


@pytest.mark.parametrize("model", [None, "", 5])
def test_an_answer_without_a_model_names_the_asked_one(model: Any):
    assert got(answer(say("Hi"), model=model))["model"] == "claude-opus-5-5"


NO_ANSWERS = [
    b"",
    b"<html>",
    b"[]",
    b"{}",
    b'{"choices":[]}',
    b'{"choices":[null]}',
    b'{"error":{"message":"boom"}}',
    b'{"choices":[{"message":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}]}",
]


@pytest.mark.parametrize("body", NO_ANSWERS)
def test_what_is_no_answer_becomes_an_error(body: bytes):
    error = got(body)
    assert (error["type"], error["error"]["type"]) == ("error", "api_error")
    assert error["error"]["message"] == ("boom" if b"boom" in body else "the provider's answer cannot be read")
