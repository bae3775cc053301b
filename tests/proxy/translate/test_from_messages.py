"""Anthropic's whole answers, as a Chat client gets them."""

import json
from typing import Any

import pytest

from tests.proxy.translate.translating import chat_call

USAGE = {"input_tokens": 10, "output_tokens": 6, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2}
TEXT = {"type": "text", "text": "Hi"}
USE = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}
CALL = {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


def answer(content: Any, reason: Any = "end_turn", **others: Any) -> bytes:
    body = {"id": "m", "type": "message", "role": "assistant", "model": "claude-x", "content": content}
    return json.dumps(body | {"stop_reason": reason, "usage": USAGE} | others).encode()


def got(body: bytes) -> dict[str, Any]:
    return json.loads(chat_call().whole(body))


ANSWERS = [
    pytest.param([TEXT], "end_turn", {"content": "Hi"}, "stop", id="text"),
    pytest.param([TEXT, TEXT], "stop_sequence", {"content": "HiHi"}, "stop", id="texts"),
    pytest.param([TEXT], "max_tokens", {"content": "Hi"}, "length", id="cut off"),
    pytest.param([TEXT], "model_context_window_exceeded", {"content": "Hi"}, "length", id="too long"),
    pytest.param([TEXT], "pause_turn", {"content": "Hi"}, "stop", id="paused"),
    pytest.param([TEXT], "refusal", {"content": "Hi"}, "content_filter", id="refused"),
    pytest.param([], "end_turn", {"content": None}, "stop", id="nothing"),
    pytest.param([TEXT, USE], "tool_use", {"content": "Hi", "tool_calls": [CALL]}, "tool_calls", id="text and call"),
    pytest.param(
        [{"type": "thinking", "thinking": "hm", "signature": "s"}, TEXT],
        "end_turn",
        {"content": "Hi", "reasoning_content": "hm"},
        "stop",
        id="thinking",
    ),
    pytest.param([TEXT, None, {"type": "new"}, {"type": "text", "text": 5}], None, {"content": "Hi"}, "stop", id="odd"),
    pytest.param(
        [USE | {"input": None}],
        "tool_use",
        {"content": None, "tool_calls": [CALL | {"function": {"name": "f", "arguments": "{}"}}]},
        "tool_calls",
        id="a call without input",
    ),
]


@pytest.mark.parametrize(("content", "reason", "message", "finish"), ANSWERS)
def test_an_answer(content: Any, reason: Any, message: dict[str, Any], finish: str):
    whole = got(answer(content, reason))
    choice = {"index": 0, "logprobs": None, "finish_reason": finish}
    assert whole.pop("choices") == [choice | {"message": {"role": "assistant", "refusal": None} | message}]
    assert whole == {
        "id": "chatcmpl-r1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "claude-x",
        "usage": {
            "prompt_tokens": 15,
            "completion_tokens": 6,
            "total_tokens": 21,
            "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


def test_why_a_model_refuses_is_told():
    body = answer([], "refusal", stop_details={"type": "refusal", "category": "bio", "explanation": "No."})
    assert got(body)["choices"][0]["message"]["refusal"] == "No."


def test_thinking_and_the_tier_are_told():
    usage = USAGE | {"output_tokens_details": {"thinking_tokens": 4}, "service_tier": "standard"}
    whole = got(answer([TEXT], usage=usage))
    assert whole["usage"]["completion_tokens_details"] == {"reasoning_tokens": 4}
    assert whole["service_tier"] == "default"


@pytest.mark.parametrize("usage", [None, [], {"input_tokens": -5, "output_tokens": "x"}])
def test_odd_counts_are_none(usage: Any):
    assert got(answer([TEXT], usage=usage))["usage"]["total_tokens"] == 0


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"content":"x"}', b'{"error":{"message":"boom"}}'])
def test_what_is_no_answer_becomes_an_error(body: bytes):
    error = got(body)["error"]
    assert error["type"] == "server_error"
    assert error["message"] == ("boom" if b"boom" in body else "the provider's answer cannot be read")
