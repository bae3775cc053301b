"""Deltas that are read in bulk count exactly as if each were read by itself."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.model import Endpoint
from proxy.sse import SseParser
from proxy.usage import Usage, UsageParser, fields, parser_for
from proxy.usage.anthropic import AnthropicStream
from proxy.usage.openai_chat import ChatStream
from proxy.usage.openai_responses import ResponsesStream
from proxy.usage.stream import StreamParser, skimming
from tests.proxy.sse_samples import events

READERS = {
    Endpoint.MESSAGES: AnthropicStream,
    Endpoint.CHAT_COMPLETIONS: ChatStream,
    Endpoint.RESPONSES: ResponsesStream,
}
CHAT = {"id": "c1", "object": "chat.completion.chunk", "created": 1764000000, "model": "gpt-5.1"}
PLACE = {"sequence_number": 4, "item_id": "msg_1", "output_index": 0}


def block(delta: dict[str, str], index: int = 0) -> bytes:
    return events({"type": "content_block_delta", "index": index, "delta": delta})


def chunk(delta: dict[str, Any], **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return events({**CHAT, **more, "choices": [choice]})


def response(name: str, **more: object) -> bytes:
    return events({"type": f"response.{name}.delta", **PLACE, **more})


#: The events that carry a text, by how they are written; the text comes in the place of %b.
DELTAS = {
    Endpoint.MESSAGES: {
        "text": block({"type": "text_delta", "text": "%b"}),
        "padded text": block({"type": "text_delta", "text": "%b"}, 12).replace(b"}}", b"}      }"),
        "thinking": block({"type": "thinking_delta", "thinking": "%b"}),
        "tool input": block({"type": "input_json_delta", "partial_json": "%b"}),
    },
    Endpoint.CHAT_COMPLETIONS: {
        "OpenAI's": chunk({"content": "%b"}, service_tier="default", system_fingerprint=None)
        .replace(b',"finish', b',"logprobs":null,"finish')
        .replace(b"}]}", b'}],"usage":null,"obfuscation":"xy"}'),
        "a tool's": chunk({"tool_calls": [{"index": 0, "function": {"arguments": "%b"}}]}),
        "OpenRouter's": chunk({"content": "%b"}, provider="OpenAI", system_fingerprint="fp_1"),
        "others'": chunk({"role": "assistant", "reasoning_content": "%b"}),
    },
    Endpoint.RESPONSES: {
        "text": response("output_text", content_index=0, delta="%b", logprobs=[], obfuscation="abc"),
        "arguments": response("function_call_arguments", delta="%b"),
        "reasoning": response("reasoning_summary_text", summary_index=0, delta="%b", obfuscation="abc"),
    },
}
KINDS = [pytest.param(where, event, id=f"{where} {name}") for where in DELTAS for name, event in DELTAS[where].items()]
#: What has to be read before deltas are read in bulk.
FIRST = {Endpoint.CHAT_COMPLETIONS: events({**CHAT, "choices": []})}
PING = b'event: ping\ndata: {"type": "ping"}\n\n'

#: Whole escapes and characters, and halves of them.
TEXTS = [b"", b" ", b"hello ", "Zürich 🌦".encode(), b"\\n", b'\\"', b"\\\\", b"\\u00fc", b"\\ud83c\\udf26"]
HALVES = [b"\\ud83c", b"\\udf26", b"\\u00", b"fc", b"\xc3", b"\xbc", b"\\", b"\\x"]
#: What ends a text, a line or an event where none should end.
ENDS = [b'"', b"\n", b"\n\n", b"\r", b"\x00", b"}", b'"}}\n\n']
OTHERS = [
    PING,
    b": a comment\n\n",
    b"\n",
    b"\n\n",
    b"data: [DONE]\n\n",
    b"data: {\n\n",
    b"data: x",
    b"event: content_block_delta\n",
    events({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}),
    events({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}),
    events({**CHAT, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 9}}),
    chunk({"content": "a"}).replace(b"null", b'"stop"'),
]


def one_by_one(endpoint: Endpoint) -> UsageParser:
    return StreamParser(READERS[endpoint]())


def told(parser: UsageParser, *pieces: bytes) -> tuple[Usage, list[bool]]:
    """What was read, and whether output had started after each piece."""
    started = [(parser.feed(piece), parser.output_started)[1] for piece in pieces]
    return parser.finish(), started


@pytest.mark.parametrize(("endpoint", "event"), KINDS)
def test_deltas_as_they_are_written_are_read_in_bulk(endpoint, event):
    reader = READERS[endpoint]()
    StreamParser(reader).feed(FIRST.get(endpoint, b""))
    rest = event[:60]
    assert reader.skim(event % b"a" + event % b"\\u00fc" + PING + event % "ü".encode() + rest) == PING + rest
    assert reader.output_started
    assert reader.usage(damaged=False).note.endswith("from 3 characters of output")
    assert reader.usage(damaged=False).tokens.output == 2  # five bytes of text


@pytest.mark.parametrize(("endpoint", "event"), KINDS)
@pytest.mark.parametrize("text", [*TEXTS, *HALVES, *ENDS], ids=repr)
def test_every_text_counts_the_same(endpoint, event, text):
    stream = FIRST.get(endpoint, b""), event % b"a" + event % text + event % b"b" + event % text
    assert told(parser_for(endpoint, stream=True), *stream) == told(one_by_one(endpoint), *stream)


@pytest.mark.parametrize(("endpoint", "event"), KINDS)
@pytest.mark.parametrize("halves", [(b"\\ud83c", b"\\udf26"), (b"\xc3", b"\xbc"), (b"\\", b"n"), (b"\\u00", b"fc")])
def test_halves_in_two_texts_make_no_character(endpoint, event, halves):
    stream = FIRST.get(endpoint, b""), event % b"a" + event % halves[0] + event % halves[1]
    assert told(parser_for(endpoint, stream=True), *stream) == told(one_by_one(endpoint), *stream)


@pytest.mark.parametrize(("endpoint", "event"), KINDS)
def test_a_delta_too_large_to_be_read_counts_the_same(endpoint, event):
    stream = FIRST.get(endpoint, b""), event % (b"x" * fields.MAX_JSON_BYTES)
    assert told(parser_for(endpoint, stream=True), *stream) == told(one_by_one(endpoint), *stream)


def test_the_first_chunk_is_read_for_what_it_tells_of_the_answer():
    parser = skimming(ChatStream())
    parser.feed(chunk({"content": "hello"}) + chunk({"content": "world"}))
    assert parser.finish().model == "gpt-5.1"


def test_an_event_over_the_limit_is_dropped_before_it_is_read():
    seen = []
    parser = SseParser(max_event_bytes=20, skim=lambda events: seen.append(events) or events)
    assert [event.data for event in parser.feed(b"data: " + b"x" * 40 + b"\n\ndata: a\n\n")] == [b"a"]
    assert [event.data for event in parser.feed(b"data: " + b"x" * 40)] == []
    assert [event.data for event in parser.feed(b"x\n\ndata: b\n\n")] == [b"b"]
    assert (parser.dropped, seen) == (2, [])


def streams(endpoint: Endpoint) -> st.SearchStrategy[bytes]:
    texts = st.lists(st.sampled_from(TEXTS + HALVES), max_size=4).map(b"".join)
    deltas = st.builds(lambda event, text: event % text, st.sampled_from([*DELTAS[endpoint].values()]), texts)
    return st.lists(deltas | deltas | st.sampled_from(OTHERS), max_size=20).map(b"".join)


@pytest.mark.parametrize("endpoint", READERS)
@given(data=st.data())
def test_any_stream_counts_the_same_however_it_is_cut(endpoint, data):
    stream = FIRST.get(endpoint, b"") + data.draw(streams(endpoint))
    if data.draw(st.booleans()):
        stream = stream.replace(b"\n", b"\r\n")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    pieces = [stream[a:b] for a, b in pairwise([0, *cuts, len(stream)])]
    assert told(skimming(READERS[endpoint]()), *pieces) == told(one_by_one(endpoint), *pieces)
