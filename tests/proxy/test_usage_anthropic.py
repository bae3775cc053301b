import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.model import Endpoint, Tokens
from proxy.usage import parser_for
from proxy.usage.anthropic import cache_writes
from tests.proxy.sse_samples import events, read, read_at_every_cut

FIXTURES = Path(__file__).parent / "fixtures"
PING = {"type": "ping"}
STOP = {"type": "message_stop"}
#: what a count cannot be
NONSENSE = [-3, 1.5, "12", 10**30, True, [], {}, None]


def start(**usage: Any) -> dict[str, Any]:
    return {
        "type": "message_start",
        "message": {"id": "msg_1", "type": "message", "model": "claude-opus-4-5", "content": [], "usage": usage},
    }


def text(value: str, kind: str = "text") -> dict[str, Any]:
    name = {"text": "text_delta", "thinking": "thinking_delta", "partial_json": "input_json_delta"}.get(kind, kind)
    return {"type": "content_block_delta", "index": 0, "delta": {"type": name, kind: value}}


def delta(stop_reason: str | None = "end_turn", **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": stop_reason}, "usage": usage}


def error(kind: str, message: str = "Overloaded") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


@dataclass(frozen=True)
class Case:
    stream: bytes
    tokens: Tokens
    complete: bool = True
    says: dict[str, str] = field(default_factory=dict)


FULL = start(
    input_tokens=9,
    cache_read_input_tokens=20,
    cache_creation_input_tokens=30,
    cache_creation={"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    output_tokens=1,
)

STREAMS = {
    "a plain answer": Case(
        events(start(input_tokens=9, output_tokens=1), PING, text("Hi"), delta(output_tokens=12), STOP),
        Tokens(uncached_input=9, output=12),
        says={"model": "claude-opus-4-5", "stop_reason": "end_turn", "response_id": "msg_1", "note": ""},
    ),
    # the delta repeats the total of cache writes but not how it splits
    "the split of cache writes is kept": Case(
        events(
            FULL,
            delta(input_tokens=9, cache_read_input_tokens=20, cache_creation_input_tokens=30, output_tokens=12),
            STOP,
        ),
        Tokens(uncached_input=9, cache_read=20, cache_write_5m=10, cache_write_1h=20, output=12),
    ),
    "cache writes without a split last five minutes": Case(
        events(start(input_tokens=1, cache_creation_input_tokens=30), delta(output_tokens=2), STOP),
        Tokens(uncached_input=1, cache_write_5m=30, output=2),
    ),
    "cache writes for one hour alone": Case(
        events(
            start(input_tokens=1, cache_creation_input_tokens=30, cache_creation={"ephemeral_1h_input_tokens": 30}),
            delta(output_tokens=2),
            STOP,
        ),
        Tokens(uncached_input=1, cache_write_1h=30, output=2),
    ),
    "counts are cumulative and not summed": Case(
        events(FULL, delta(None, output_tokens=5), delta(None, output_tokens=9), delta(output_tokens=14), STOP),
        Tokens(uncached_input=9, cache_read=20, cache_write_5m=10, cache_write_1h=20, output=14),
    ),
    # server tools let the input grow while the answer runs
    "the last input count wins": Case(
        events(start(input_tokens=9, output_tokens=1), delta(input_tokens=4000, output_tokens=14), STOP),
        Tokens(uncached_input=4000, output=14),
    ),
    "null fields say nothing": Case(
        events(
            FULL,
            delta(input_tokens=None, cache_read_input_tokens=None, cache_creation_input_tokens=None, output_tokens=3),
            STOP,
        ),
        Tokens(uncached_input=9, cache_read=20, cache_write_5m=10, cache_write_1h=20, output=3),
    ),
    "zero is a value": Case(
        events(
            start(input_tokens=9, cache_read_input_tokens=7), delta(cache_read_input_tokens=0, output_tokens=3), STOP
        ),
        Tokens(uncached_input=9, output=3),
    ),
    "thinking is part of the output": Case(
        events(
            start(input_tokens=9),
            text("hm, hm", "thinking"),
            {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "x" * 400}},
            delta(output_tokens=30, output_tokens_details={"thinking_tokens": 25}),
            STOP,
        ),
        Tokens(uncached_input=9, output=30, reasoning=25),
    ),
    "web searches are counted, fetches are free": Case(
        events(
            start(input_tokens=9, server_tool_use={"web_search_requests": 0, "web_fetch_requests": 0}),
            delta(output_tokens=3, server_tool_use={"web_search_requests": 2, "web_fetch_requests": 5}),
            STOP,
        ),
        Tokens(uncached_input=9, output=3, tool_units=2),
    ),
    "tier, place and speed": Case(
        events(
            start(input_tokens=9, service_tier="priority", inference_geo="us", speed="fast"), delta(output_tokens=3)
        ),
        Tokens(uncached_input=9, output=3),
        says={"service_tier": "priority", "inference_geo": "us", "speed": "fast"},
    ),
    "unknown events are passed over": Case(
        events(FULL, {"type": "surprise", "usage": {"output_tokens": 99}}, PING, delta(output_tokens=3), STOP),
        Tokens(uncached_input=9, cache_read=20, cache_write_5m=10, cache_write_1h=20, output=3),
    ),
    "the last event is missing": Case(
        events(start(input_tokens=9), delta("max_tokens", output_tokens=3)),
        Tokens(uncached_input=9, output=3),
        says={"stop_reason": "max_tokens"},
    ),
    "no stop reason, but the last event": Case(
        events(start(input_tokens=9), delta(None, output_tokens=3), STOP), Tokens(uncached_input=9, output=3)
    ),
    "events without names": Case(
        events(FULL, text("x" * 20), delta(output_tokens=3), STOP, named=False),
        Tokens(uncached_input=9, cache_read=20, cache_write_5m=10, cache_write_1h=20, output=3),
    ),
    "carriage returns": Case(
        events(start(input_tokens=9), delta(output_tokens=3), STOP).replace(b"\n", b"\r\n"),
        Tokens(uncached_input=9, output=3),
    ),
    # from here on the stream broke
    "it breaks off after the start": Case(
        events(FULL, text("Hello, you"), text("!")),
        Tokens(uncached_input=9, cache_read=20, cache_write_5m=10, cache_write_1h=20, output=3),
        complete=False,
        says={"note": "estimated from message_start and 11 characters of output", "stop_reason": ""},
    ),
    "it breaks off after a running count": Case(
        events(start(input_tokens=9), text("abc"), delta(None, output_tokens=40), text("abc")),
        Tokens(uncached_input=9, output=40),
        complete=False,
    ),
    "text, thinking and tool input count alike": Case(
        events(start(input_tokens=9), text("a" * 8), text("b" * 8, "thinking"), text('{"a":12}', "partial_json")),
        Tokens(uncached_input=9, output=6),
        complete=False,
        says={"note": "estimated from message_start and 24 characters of output"},
    ),
    "characters of several bytes weigh more": Case(
        events(start(input_tokens=9), text("漢字漢字")), Tokens(uncached_input=9, output=3), complete=False
    ),
    "an error within the stream": Case(
        events(FULL, text("Hello, you!!"), error("overloaded_error")),
        Tokens(uncached_input=9, cache_read=20, cache_write_5m=10, cache_write_1h=20, output=3),
        complete=False,
        says={"error_class": "overloaded_error", "error_message": "Overloaded"},
    ),
    "an error and nothing else": Case(
        events(error("api_error", "x" * 900)),
        Tokens(),
        complete=False,
        says={"error_class": "api_error", "error_message": "x" * 500},
    ),
    "an error without words": Case(
        events({"type": "error"}), Tokens(), complete=False, says={"error_class": "error", "error_message": ""}
    ),
    "nothing": Case(b"", Tokens(), complete=False, says={"note": "estimated from 0 characters of output"}),
    "garbage": Case(b"\x00\xff<html>\n\n\r\r data: {", Tokens(), complete=False),
    "a final event cut in two": Case(
        events(start(input_tokens=9), text("a" * 8))
        + b'event: message_delta\ndata: {"type":"message_delta","usage":{"ou',
        Tokens(uncached_input=9, output=2),
        complete=False,
    ),
    # its JSON is whole: only the blank line is missing
    "a final event without its end": Case(
        events(start(input_tokens=9), delta(output_tokens=3)).rstrip(b"\n"), Tokens(uncached_input=9, output=3)
    ),
    "a final event that is garbled": Case(
        events(start(input_tokens=9), delta(None, output_tokens=3), "event: message_delta\ndata: {oops\n\n", STOP),
        Tokens(uncached_input=9, output=3),
        complete=False,
    ),
    "a delta that is garbled does not matter": Case(
        events(start(input_tokens=9), "event: content_block_delta\ndata: {oops\n\n", delta(output_tokens=3), STOP),
        Tokens(uncached_input=9, output=3),
    ),
    "invalid UTF-8 in the text does not matter": Case(
        events(start(input_tokens=9))
        + b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"\xff\xfe"}}\n\n'
        + events(delta(output_tokens=3), STOP),
        Tokens(uncached_input=9, output=3),
    ),
    "events of the wrong shape": Case(
        events("data: []\n\n", 'data: {"type":["message_start"]}\n\n', 'data: {"type":"message_start","message":7}\n\n')
        + events({"type": "message_delta", "usage": [], "delta": "x"}, STOP),
        Tokens(),
        complete=False,
    ),
    "counts that cannot be counts": Case(
        events(start(input_tokens=9, cache_read_input_tokens="many"), delta(output_tokens=-4), text("a" * 8), STOP),
        Tokens(uncached_input=9, output=2),
        complete=False,
    ),
}


@pytest.mark.parametrize("case", STREAMS.values(), ids=STREAMS)
def test_a_stream_is_read(case):
    usage = read(Endpoint.MESSAGES, case.stream)
    assert usage.tokens == case.tokens
    assert usage.complete is case.complete
    assert bool(usage.note) is not case.complete
    assert {name: getattr(usage, name) for name in case.says} == case.says


@pytest.mark.parametrize("case", STREAMS.values(), ids=STREAMS)
def test_every_way_to_cut_a_stream_gives_the_same_counts(case):
    read_at_every_cut(Endpoint.MESSAGES, case.stream, read(Endpoint.MESSAGES, case.stream))


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("anthropic_*.sse")), ids=lambda path: path.stem)
def test_a_recorded_stream_gives_its_golden_counts(path):
    golden = json.loads(path.with_suffix(".json").read_text())
    usage = read(Endpoint.MESSAGES, path.read_bytes())
    assert usage.tokens == Tokens(**golden.pop("tokens"))
    assert json.loads(usage.raw) == golden.pop("raw")
    assert {name: getattr(usage, name) for name in golden} == golden
    read_at_every_cut(Endpoint.MESSAGES, path.read_bytes(), usage)


@pytest.mark.parametrize("name", ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"])
@pytest.mark.parametrize("value", NONSENSE, ids=repr)
def test_a_count_that_cannot_be_one_says_nothing(name, value):
    given_first = read(Endpoint.MESSAGES, events(start(**{name: 7}), delta(output_tokens=1, **{name: value}), STOP))
    assert given_first.tokens.input == 7
    assert given_first.complete
    alone = read(Endpoint.MESSAGES, events(start(**{name: value}), delta(output_tokens=1), STOP))
    assert alone.tokens == Tokens(output=1)


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
def test_an_output_that_cannot_be_one_leaves_the_estimate(value):
    usage = read(Endpoint.MESSAGES, events(start(input_tokens=1), text("a" * 9), delta(output_tokens=value), STOP))
    assert usage.tokens == Tokens(uncached_input=1, output=3)
    assert not usage.complete


def test_the_raw_usage_is_the_merged_one():
    usage = read(Endpoint.MESSAGES, events(FULL, delta(output_tokens=12, server_tool_use=None), STOP))
    assert json.loads(usage.raw) == {
        "input_tokens": 9,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "output_tokens": 12,
    }


def test_output_starts_with_the_first_delta():
    parser = parser_for(Endpoint.MESSAGES, stream=True)
    parser.feed(events(FULL, PING, {"type": "content_block_start", "index": 0}))
    assert not parser.output_started
    parser.feed(events(text("Hi")))
    assert parser.output_started


@pytest.mark.parametrize(
    ("total", "minutes", "hour", "split"),
    [
        (None, None, None, (0, 0)),
        (None, 3, 4, (3, 4)),
        (7, 3, 4, (3, 4)),
        (9, 3, 4, (5, 4)),  # what came later goes where the default is
        (9, 0, 4, (0, 9)),  # or to the only lifetime in use
        (9, 4, 0, (9, 0)),
        (5, 3, 4, (1, 4)),
        (2, 3, 4, (0, 2)),
        (0, 3, 4, (0, 0)),
    ],
)
def test_cache_writes_are_split(total, minutes, hour, split):
    assert cache_writes(total, minutes, hour) == split


ANSWER = {
    "id": "msg_1",
    "type": "message",
    "model": "claude-opus-4-5",
    "content": [{"type": "text", "text": "Grüße"}],
    "stop_reason": "end_turn",
    "usage": {
        "input_tokens": 9,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "output_tokens": 12,
        "service_tier": "standard",
    },
}


def test_a_plain_body_is_read():
    usage = read(Endpoint.MESSAGES, json.dumps(ANSWER).encode(), stream=False)
    assert usage.tokens == Tokens(uncached_input=9, cache_read=20, cache_write_5m=10, cache_write_1h=20, output=12)
    assert (usage.model, usage.stop_reason, usage.service_tier) == ("claude-opus-4-5", "end_turn", "standard")
    assert json.loads(usage.raw) == ANSWER["usage"]
    assert usage.complete


def test_invalid_utf8_in_a_body_does_not_matter():
    body = json.dumps(ANSWER, ensure_ascii=False).encode().replace("ü".encode(), b"\xff")
    assert read(Endpoint.MESSAGES, body, stream=False).tokens.output == 12


@pytest.mark.parametrize(
    ("body", "output", "note"),
    [
        (json.dumps(ANSWER).encode()[:100], 25, "estimated from 100 bytes of a broken answer"),
        (b"<html>Bad gateway</html>", 0, "the answer is not JSON"),
        (b"", 0, "nothing of the answer was seen"),
        (b"[1, 2]", 0, "the answer is not JSON"),
        (b'{"id": 7, "model": [], "usage": "none"}', 0, "the answer told no counts"),
        (b'{"usage": {"input_tokens": 3}}', 0, "the answer told no counts"),
        (b"[" * 100_000, 0, "the answer is not JSON"),
    ],
    ids=["cut", "html", "empty", "a list", "wrong types", "no output", "deep"],
)
def test_a_body_that_is_no_answer_is_incomplete(body, output, note):
    usage = read(Endpoint.MESSAGES, body, stream=False)
    assert (usage.tokens.output, usage.note, usage.complete) == (output, note, False)


@pytest.mark.parametrize("status", [200, 400, 401, 402, 403, 404, 413, 429, 500, 504, 529])
def test_an_error_body_bills_nothing(status):
    body = json.dumps({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}).encode()
    usage = read(Endpoint.MESSAGES, body, stream=False, status=status)
    assert (usage.error_class, usage.error_message) == ("overloaded_error", "Overloaded")
    assert (usage.tokens, usage.complete) == (Tokens(), True)


@given(st.lists(st.binary(max_size=40) | st.sampled_from([c.stream for c in STREAMS.values()])), st.booleans())
def test_no_bytes_raise(pieces, stream):
    for endpoint in Endpoint:
        assert read(endpoint, *pieces, stream=stream).tokens.output >= 0
