"""What Anthropic's `iterations` add, and to which model's account."""

import json
from typing import Any

import pytest

from data.model import Endpoint, Tokens
from proxy.usage import Share
from tests.proxy.sse_samples import events, read


def entry(kind: str, input_tokens: int, output: int, model: str = "", **more: Any) -> dict[str, Any]:
    counts = {"input_tokens": input_tokens, "output_tokens": output, **more}
    named = {"model": model} if model else {}
    return {"type": kind, **named, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, **counts}


HOUR = {"cache_creation_input_tokens": 7, "cache_creation": {"ephemeral_1h_input_tokens": 7}}
TOP = {"input_tokens": 100, "output_tokens": 10, "server_tool_use": {"web_search_requests": 1}}
MAIN = Tokens(uncached_input=100, output=10, tool_units=1)
CASES: dict[str, tuple[Any, str, Tokens, tuple[Share, ...]]] = {
    "none": (None, "claude-sonnet-5", MAIN, ()),
    "nothing in them": ([], "claude-sonnet-5", MAIN, ()),
    "messages are in the counts already": (
        [entry("message", 60, 4), entry("message", 40, 6)],
        "claude-sonnet-5",
        MAIN,
        (),
    ),
    "a compaction comes on top": (
        [
            entry("compaction", 1000, 50, cache_read_input_tokens=300, **HOUR),
            entry("message", 100, 10),
        ],
        "claude-sonnet-5",
        Tokens(uncached_input=1100, cache_read=300, cache_write_1h=7, output=60, tool_units=1),
        (),
    ),
    "advisors are another model's account": (
        [
            entry("message", 60, 4),
            entry("advisor_message", 500, 70, "claude-opus-5"),
            entry("message", 40, 6),
            entry("advisor_message", 600, 80, "claude-opus-5"),
            entry("advisor_message", 1, 2, "claude-opus-4-8"),
        ],
        "claude-sonnet-5",
        MAIN,
        (
            Share("claude-opus-5", Tokens(uncached_input=1100, output=150)),
            Share("claude-opus-4-8", Tokens(uncached_input=1, output=2)),
        ),
    ),
    "a model that declined before it spoke costs nothing": (
        [entry("message", 100, 0, "claude-sonnet-5"), entry("fallback_message", 100, 10, "claude-opus-4-8")],
        "claude-opus-4-8",
        MAIN,
        (),
    ),
    "a model that declined midway is paid for": (
        [
            entry("message", 90, 5, "claude-sonnet-5"),
            entry("message", 30, 1, "claude-opus-4-8"),
            entry("fallback_message", 100, 10, "claude-opus-4-8"),
        ],
        "claude-opus-4-8",
        Tokens(uncached_input=130, output=11, tool_units=1),
        (Share("claude-sonnet-5", Tokens(uncached_input=90, output=5)),),
    ),
    "nonsense": ([7, None, {}, {"type": "compaction", "input_tokens": -4}, {"type": []}], "claude-sonnet-5", MAIN, ()),
    "no list": ({"type": "compaction", "input_tokens": 4}, "claude-sonnet-5", MAIN, ()),
}


@pytest.mark.parametrize(("iterations", "model", "tokens", "others"), CASES.values(), ids=CASES)
def test_iterations(iterations, model, tokens, others):
    usage = {**TOP, "iterations": iterations}
    body = {"id": "m", "model": "claude-sonnet-5", "stop_reason": "end_turn", "content": [1], "usage": usage}
    start = {"id": "m", "model": "claude-sonnet-5", "usage": {"input_tokens": 100}}
    stream = events(
        {"type": "message_start", "message": start},
        {"type": "content_block_delta", "delta": {"text": "x"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
        {"type": "message_stop"},
    )
    plain = read(Endpoint.MESSAGES, json.dumps(body).encode(), stream=False)
    for found in (plain, read(Endpoint.MESSAGES, stream)):
        assert (found.model, found.tokens, found.others, found.complete) == (model, tokens, others, True)


def test_all_tokens_are_those_of_all_models():
    iterations = CASES["advisors are another model's account"][0]
    body = {"model": "m", "content": [1], "usage": {**TOP, "iterations": iterations}}
    usage = read(Endpoint.MESSAGES, json.dumps(body).encode(), stream=False)
    assert usage.all_tokens == Tokens(uncached_input=1201, output=162, tool_units=1)


@pytest.mark.parametrize(("content", "free"), [("[]", True), ("[ \n]", True), ('[{"type":"text"}]', False)])
def test_a_refusal_before_any_output_is_free(content, free):
    body = (
        f'{{"model":"m","stop_reason":"refusal","content":{content},"usage":{{"input_tokens":106,"output_tokens":1}}}}'
    )
    usage = read(Endpoint.MESSAGES, body.encode(), stream=False)
    assert usage.tokens == Tokens(uncached_input=106, output=1)
    assert (usage.billing == "free") is free


@pytest.mark.parametrize("said", [True, False])
def test_a_streamed_refusal_is_free_unless_it_had_begun(said):
    delta = [{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Sure"}}] if said else []
    stream = events(
        {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 106, "output_tokens": 1}}},
        *delta,
        {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    )
    usage = read(Endpoint.MESSAGES, stream)
    assert (usage.billing == "free") is not said
