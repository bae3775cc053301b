import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from data.model import Endpoint, Tokens
from proxy.usage import parser_for
from tests.proxy.sse_samples import events, read, read_at_every_cut

FIXTURES = Path(__file__).parent / "fixtures"
NONSENSE = [-3, 1.5, "12", 10**30, True, [], {}, None]


def response(kind: str, usage: Any = None, **more: Any) -> dict[str, Any]:
    status = {"created": "in_progress"}.get(kind, kind)
    body = {"id": "resp_1", "model": "gpt-5", "status": status, "service_tier": "auto", "usage": usage, **more}
    return {"type": f"response.{kind}", "response": body}


def counts(
    prompt: Any = 100, output: Any = 20, *, cached: Any = 0, written: Any = 0, reasoning: Any = 0
) -> dict[str, Any]:
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoning},
    }


def text(value: Any, kind: str = "output_text") -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "delta": value}


CREATED = response("created")


@dataclass(frozen=True)
class Case:
    stream: bytes
    tokens: Tokens
    complete: bool = True
    says: dict[str, str] = field(default_factory=dict)


STREAMS = {
    "completed": Case(
        events(CREATED, text("Hi"), response("completed", counts(), service_tier="default")),
        Tokens(uncached_input=100, output=20),
        says={"model": "gpt-5", "stop_reason": "completed", "service_tier": "default", "response_id": "resp_1"},
    ),
    "cached and written tokens are part of the input": Case(
        events(CREATED, response("completed", counts(cached=64, written=30))),
        Tokens(uncached_input=6, cache_read=64, cache_write_5m=30, output=20),
    ),
    "reasoning is part of the output": Case(
        events(CREATED, response("completed", counts(reasoning=16))),
        Tokens(uncached_input=100, output=20, reasoning=16),
    ),
    "the rest of the input is never negative": Case(
        events(response("completed", counts(10, cached=64))), Tokens(cache_read=64, output=20)
    ),
    "incomplete": Case(
        events(CREATED, response("incomplete", counts(), incomplete_details={"reason": "max_output_tokens"})),
        Tokens(uncached_input=100, output=20),
        says={"stop_reason": "max_output_tokens"},
    ),
    "failed, with counts": Case(
        events(CREATED, response("failed", counts(), error={"code": "server_error", "message": "Sorry"})),
        Tokens(uncached_input=100, output=20),
        says={"stop_reason": "failed", "error_class": "server_error", "error_message": "Sorry"},
    ),
    "events without names": Case(
        events(CREATED, text("x" * 20), response("completed", counts()), named=False),
        Tokens(uncached_input=100, output=20),
    ),
    "unknown events are passed over": Case(
        events(CREATED, {"type": "response.surprise", "usage": 3}, "data: oops\n\n", response("completed", counts())),
        Tokens(uncached_input=100, output=20),
    ),
    "an end after the end": Case(
        events(response("completed", counts()), "data: [DONE]\n\n"), Tokens(uncached_input=100, output=20)
    ),
    # from here on the stream broke
    "failed, without counts": Case(
        events(CREATED, text("a" * 8), response("failed", error={"code": "rate_limit_exceeded", "message": "Slow"})),
        Tokens(output=2),
        complete=False,
        says={"error_class": "rate_limit_exceeded", "error_message": "Slow", "stop_reason": "failed"},
    ),
    "it breaks off": Case(
        events(CREATED, text("Hello, you!!")),
        Tokens(output=3),
        complete=False,
        says={"note": "estimated from 12 characters of output", "model": "gpt-5", "response_id": "resp_1"},
    ),
    "text, summaries, refusals and arguments count alike": Case(
        events(
            text("a" * 4),
            text("b" * 4, "reasoning_summary_text"),
            text("c" * 4, "refusal"),
            text("d" * 4, "function_call_arguments"),
        ),
        Tokens(output=4),
        complete=False,
    ),
    "sound is no text": Case(events(text("a" * 400, "audio")), Tokens(), complete=False),
    "deltas that are no text": Case(events(text({"a": 1}), text(None), text(7)), Tokens(), complete=False),
    "an error event": Case(
        events(CREATED, text("abcd"), {"type": "error", "code": "server_error", "message": "Sorry", "param": None}),
        Tokens(output=1),
        complete=False,
        says={"error_class": "server_error", "error_message": "Sorry"},
    ),
    "an error event of another shape": Case(
        events({"type": "error", "error": {"type": "invalid_request_error", "message": "No"}}),
        Tokens(),
        complete=False,
        says={"error_class": "invalid_request_error", "error_message": "No"},
    ),
    "a last event cut in two": Case(
        events(CREATED, text("a" * 8)) + events(response("completed", counts()))[:-20], Tokens(output=2), complete=False
    ),
    "events of the wrong shape": Case(
        events("data: 7\n\n", {"type": "response.completed", "response": 7}, {"type": "response.completed"}),
        Tokens(),
        complete=False,
    ),
    "nothing": Case(b"", Tokens(), complete=False),
}


@pytest.mark.parametrize("case", STREAMS.values(), ids=STREAMS)
def test_a_stream_is_read(case):
    usage = read(Endpoint.RESPONSES, case.stream)
    assert usage.tokens == case.tokens
    assert usage.complete is case.complete
    assert bool(usage.note) is not case.complete
    assert {name: getattr(usage, name) for name in case.says} == case.says


@pytest.mark.parametrize("case", STREAMS.values(), ids=STREAMS)
def test_every_way_to_cut_a_stream_gives_the_same_counts(case):
    read_at_every_cut(Endpoint.RESPONSES, case.stream, read(Endpoint.RESPONSES, case.stream))


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("openai_responses_*.sse")), ids=lambda path: path.stem)
def test_a_recorded_stream_gives_its_golden_counts(path):
    golden = json.loads(path.with_suffix(".json").read_text())
    usage = read(Endpoint.RESPONSES, path.read_bytes())
    assert usage.tokens == Tokens(**golden.pop("tokens"))
    assert json.loads(usage.raw) == golden.pop("raw")
    assert {name: getattr(usage, name) for name in golden} == golden
    read_at_every_cut(Endpoint.RESPONSES, path.read_bytes(), usage)


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
def test_a_count_that_cannot_be_one_says_nothing(value):
    usage = read(Endpoint.RESPONSES, events(response("completed", counts(value, cached=value, reasoning=value))))
    assert usage.tokens == Tokens(output=20)
    usage = read(Endpoint.RESPONSES, events(text("a" * 8), response("completed", counts(5, value))))
    assert (usage.tokens, usage.complete) == (Tokens(uncached_input=5, output=2), False)


def test_output_starts_with_the_first_delta():
    parser = parser_for(Endpoint.RESPONSES, stream=True)
    parser.feed(events(CREATED, {"type": "response.output_item.added", "item": {}}))
    assert not parser.output_started
    parser.feed(events(text("Hi")))
    assert parser.output_started


def test_a_plain_body_is_read():
    body = response("completed", counts(cached=64, reasoning=16), service_tier="priority", error=None)["response"]
    usage = read(Endpoint.RESPONSES, json.dumps(body).encode(), stream=False)
    assert usage.tokens == Tokens(uncached_input=36, cache_read=64, output=20, reasoning=16)
    assert (usage.model, usage.stop_reason, usage.service_tier) == ("gpt-5", "completed", "priority")
    assert usage.complete


def test_a_background_answer_has_no_counts_yet():
    body = response("queued")["response"]
    usage = read(Endpoint.RESPONSES, json.dumps(body).encode(), stream=False)
    assert (usage.complete, usage.stop_reason) == (False, "queued")


@pytest.mark.parametrize("status", [200, 401])
def test_an_error_body_bills_nothing(status):
    body = json.dumps({"error": {"message": "No", "type": "invalid_request_error", "code": "invalid_api_key"}}).encode()
    usage = read(Endpoint.RESPONSES, body, stream=False, status=status)
    assert (usage.error_class, usage.error_message) == ("invalid_api_key", "No")
    assert (usage.tokens, usage.complete) == (Tokens(), True)


def test_a_failed_body_keeps_its_counts():
    body = response("failed", counts(), error={"code": "server_error", "message": "Sorry"})["response"]
    usage = read(Endpoint.RESPONSES, json.dumps(body).encode(), stream=False)
    assert (usage.tokens, usage.error_class) == (Tokens(uncached_input=100, output=20), "server_error")
    assert usage.complete
