import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from data.model import Endpoint, Tokens
from proxy.usage import parser_for
from tests.proxy.sse_samples import events, read, read_at_every_cut

FIXTURES = Path(__file__).parent / "fixtures"
DONE = "data: [DONE]\n\n"
NONSENSE = [-3, 1.5, "12", 10**30, True, [], {}, None]


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c1", "object": "chat.completion.chunk", "model": "gpt-5", "choices": choices, "usage": None, **more}


def counts(prompt: Any = 100, completion: Any = 20, **parts: Any) -> dict[str, Any]:
    known = {"cached_tokens", "cache_write_tokens"}
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": {name: value for name, value in parts.items() if name in known},
        "completion_tokens_details": {name: value for name, value in parts.items() if name not in known},
    }


def text(value: str) -> dict[str, Any]:
    return chunk({"content": value})


STOP = chunk({}, "stop")


@dataclass(frozen=True)
class Case:
    stream: bytes
    tokens: Tokens
    complete: bool = True
    says: dict[str, str] = field(default_factory=dict)


STREAMS = {
    "counts in the last chunk": Case(
        events(text("Hi"), STOP, chunk(usage=counts(), service_tier="priority"), DONE),
        Tokens(uncached_input=100, output=20),
        says={"model": "gpt-5", "stop_reason": "stop", "service_tier": "priority", "response_id": "c1"},
    ),
    "cached tokens are part of the prompt": Case(
        events(STOP, chunk(usage=counts(cached_tokens=64)), DONE),
        Tokens(uncached_input=36, cache_read=64, output=20),
    ),
    "written tokens are part of the prompt": Case(
        events(STOP, chunk(usage=counts(cached_tokens=64, cache_write_tokens=30)), DONE),
        Tokens(uncached_input=6, cache_read=64, cache_write_5m=30, output=20),
    ),
    "the rest of the prompt is never negative": Case(
        events(STOP, chunk(usage=counts(50, cached_tokens=64)), DONE), Tokens(cache_read=64, output=20)
    ),
    "reasoning and rejected predictions are part of the answer": Case(
        events(STOP, chunk(usage=counts(reasoning_tokens=12, rejected_prediction_tokens=5)), DONE),
        Tokens(uncached_input=100, output=20, reasoning=12),
    ),
    "reasoning is never more than the answer": Case(
        events(STOP, chunk(usage=counts(completion=20, reasoning_tokens=50)), DONE),
        Tokens(uncached_input=100, output=20, reasoning=20),
    ),
    "details that are null": Case(
        events(
            STOP,
            chunk(
                usage={
                    "prompt_tokens": 7,
                    "completion_tokens": 3,
                    "prompt_tokens_details": None,
                    "completion_tokens_details": None,
                }
            ),
            DONE,
        ),
        Tokens(uncached_input=7, output=3),
    ),
    # some providers count on in every chunk
    "running counts are not summed": Case(
        events(
            chunk({"content": "a"}, usage=counts(9, 1)),
            chunk({"content": "b"}, usage=counts(9, 2)),
            chunk({}, "stop", usage=counts(9, 3)),
            DONE,
        ),
        Tokens(uncached_input=9, output=3),
    ),
    "counts beside the last choice": Case(
        events(text("Hi"), chunk({}, "length", usage=counts())),
        Tokens(uncached_input=100, output=20),
        says={"stop_reason": "length"},
    ),
    "the end is missing": Case(events(STOP, chunk(usage=counts())), Tokens(uncached_input=100, output=20)),
    "an empty chunk with filter results": Case(
        events(chunk(prompt_filter_results=[]), STOP, chunk(usage=counts()), DONE),
        Tokens(uncached_input=100, output=20),
    ),
    "comments keep the line open": Case(
        events(": PROCESSING\n\n", "data:\n\n", STOP, chunk(usage=counts()), DONE),
        Tokens(uncached_input=100, output=20),
    ),
    "a garbled chunk does not matter": Case(
        events("data: {oops\n\n", STOP, chunk(usage=counts()), DONE), Tokens(uncached_input=100, output=20)
    ),
    # from here on the stream broke
    "nobody asked for counts": Case(
        events(text("Hello, you!!"), STOP, DONE),
        Tokens(output=3),
        complete=False,
        says={"note": "estimated from 12 characters of output", "stop_reason": "stop"},
    ),
    "it breaks off with running counts": Case(
        events(chunk({"content": "a" * 40}, usage=counts(9, 4))), Tokens(uncached_input=9, output=10), complete=False
    ),
    "text, refusals, reasoning and tool calls count alike": Case(
        events(
            text("a" * 4),
            chunk({"refusal": "b" * 4}),
            chunk({"reasoning_content": "c" * 4}),
            chunk({"tool_calls": [{"function": {"name": "call", "arguments": "{12}"}}]}),
        ),
        Tokens(output=5),
        complete=False,
    ),
    "an error within the stream": Case(
        events(text("abcd"), {"error": {"message": "The server had an error", "type": "server_error", "code": None}}),
        Tokens(output=1),
        complete=False,
        says={"error_class": "server_error", "error_message": "The server had an error"},
    ),
    "an error as text": Case(
        events({"error": "boom"}), Tokens(), complete=False, says={"error_class": "error", "error_message": "boom"}
    ),
    "a garbled last chunk after running counts": Case(
        events(chunk({"content": "a"}, usage=counts(9, 1)), "data: {oops\n\n", DONE),
        Tokens(uncached_input=9, output=1),
        complete=False,
    ),
    "chunks of the wrong shape": Case(
        events(
            "data: 7\n\n", {"choices": {}, "usage": [], "id": 7}, {"choices": [3, {"delta": [], "finish_reason": 1}]}
        )
        + events({"choices": [{"delta": {"content": [1], "tool_calls": [4, {"function": 3}]}}]}),
        Tokens(),
        complete=False,
    ),
    "nothing": Case(b"", Tokens(), complete=False),
    "garbage": Case(b"\xff\x00\n\n\n{", Tokens(), complete=False),
}


@pytest.mark.parametrize("case", STREAMS.values(), ids=STREAMS)
def test_a_stream_is_read(case):
    usage = read(Endpoint.CHAT_COMPLETIONS, case.stream)
    assert usage.tokens == case.tokens
    assert usage.complete is case.complete
    assert bool(usage.note) is not case.complete
    assert {name: getattr(usage, name) for name in case.says} == case.says


@pytest.mark.parametrize("case", STREAMS.values(), ids=STREAMS)
def test_every_way_to_cut_a_stream_gives_the_same_counts(case):
    read_at_every_cut(Endpoint.CHAT_COMPLETIONS, case.stream, read(Endpoint.CHAT_COMPLETIONS, case.stream))


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("openai_chat_*.sse")), ids=lambda path: path.stem)
def test_a_recorded_stream_gives_its_golden_counts(path):
    golden = json.loads(path.with_suffix(".json").read_text())
    usage = read(Endpoint.CHAT_COMPLETIONS, path.read_bytes())
    assert usage.tokens == Tokens(**golden.pop("tokens"))
    assert json.loads(usage.raw) == golden.pop("raw")
    assert {name: getattr(usage, name) for name in golden} == golden
    read_at_every_cut(Endpoint.CHAT_COMPLETIONS, path.read_bytes(), usage)


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
def test_a_count_that_cannot_be_one_says_nothing(value):
    usage = read(Endpoint.CHAT_COMPLETIONS, events(STOP, chunk(usage=counts(value, cached_tokens=value)), DONE))
    assert usage.tokens == Tokens(output=20)
    usage = read(Endpoint.CHAT_COMPLETIONS, events(text("a" * 8), STOP, chunk(usage=counts(5, value)), DONE))
    assert (usage.tokens, usage.complete) == (Tokens(uncached_input=5, output=2), False)


def test_output_starts_with_the_first_text():
    parser = parser_for(Endpoint.CHAT_COMPLETIONS, stream=True)
    parser.feed(events(chunk({"role": "assistant", "content": ""})))
    assert not parser.output_started
    parser.feed(events(text("Hi")))
    assert parser.output_started


ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "model": "gpt-5",
    "service_tier": "flex",
    "choices": [{"index": 0, "message": {"content": "Grüße"}, "finish_reason": "stop"}],
    "usage": counts(cached_tokens=64, reasoning_tokens=8),
}


def test_a_plain_body_is_read():
    usage = read(Endpoint.CHAT_COMPLETIONS, json.dumps(ANSWER).encode(), stream=False)
    assert usage.tokens == Tokens(uncached_input=36, cache_read=64, output=20, reasoning=8)
    assert (usage.model, usage.stop_reason, usage.service_tier) == ("gpt-5", "stop", "flex")
    assert json.loads(usage.raw) == ANSWER["usage"]
    assert usage.complete


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (
            {"message": "Slow down", "type": "tokens", "param": None, "code": "rate_limit_exceeded"},
            "rate_limit_exceeded",
        ),
        ({"message": "Slow down", "type": "invalid_request_error", "code": None}, "invalid_request_error"),
        ({"message": "Slow down", "code": 429}, "error"),
        ("Slow down", "error"),
    ],
)
@pytest.mark.parametrize("status", [200, 429])
def test_an_error_body_bills_nothing(error, name, status):
    usage = read(Endpoint.CHAT_COMPLETIONS, json.dumps({"error": error}).encode(), stream=False, status=status)
    assert (usage.error_class, usage.error_message) == (name, "Slow down")
    assert (usage.tokens, usage.complete) == (Tokens(), True)


@pytest.mark.parametrize(
    ("body", "output"),
    [(json.dumps(ANSWER).encode()[:80], 20), (b"oops", 0), (b'{"usage": null}', 0), (b'{"choices": 7}', 4)],
)
def test_a_body_that_is_no_answer_is_incomplete(body, output):
    usage = read(Endpoint.CHAT_COMPLETIONS, body, stream=False)
    assert (usage.tokens, usage.complete) == (Tokens(output=output), False)
