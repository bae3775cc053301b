import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.usage.openai_chat import UsageChunkFilter, ask_for_usage

USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
TEXT = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"usage"}}],"usage":null}\n\n'
DONE = b"data: [DONE]\n\n"

#: what goes in, what comes out
STREAMS = {
    "the chunk of counts is hidden": (TEXT + USAGE + DONE, TEXT + DONE),
    "counts beside choices stay": (
        b'data: {"choices":[{}],"usage":{"a":1}}\n\n' + DONE,
        b'data: {"choices":[{}],"usage":{"a":1}}\n\n' + DONE,
    ),
    "empty choices without counts stay": (
        b'data: {"choices":[],"usage":null}\n\n' + TEXT,
        b'data: {"choices":[],"usage":null}\n\n' + TEXT,
    ),
    "an unnecessarily spaced chunk": (
        b'data:  { "choices" : [ ] , "usage" : { "a" : 1 } }\n\n' + DONE,
        DONE,
    ),
    "carriage returns and line feeds": (
        (TEXT + USAGE + DONE).replace(b"\n", b"\r\n"),
        (TEXT + DONE).replace(b"\n", b"\r\n"),
    ),
    "carriage returns": ((TEXT + USAGE + DONE).replace(b"\n", b"\r"), (TEXT + DONE).replace(b"\n", b"\r")),
    "a chunk of several lines": (b'data: {"choices":[],\ndata: "usage":{"a":1}}\n\n' + DONE, DONE),
    "comments and names": (
        b": keep\n\nevent: x\n" + USAGE + b"id: 3\n" + TEXT,
        b": keep\n\nid: 3\n" + TEXT,
    ),
    "no blank line at the end": (TEXT + USAGE.rstrip(), TEXT),
    "no blank line behind text": (TEXT + b"data: oops", TEXT + b"data: oops"),
    "what is no JSON stays": (b"data: usage {\n\n\xff\xfe\n\n\n", b"data: usage {\n\n\xff\xfe\n\n\n"),
    "nothing": (b"", b""),
}


def filtered(*pieces: bytes) -> bytes:
    kept = UsageChunkFilter()
    return b"".join(kept.feed(piece) for piece in pieces) + kept.flush()


@pytest.mark.parametrize(("stream", "shown"), STREAMS.values(), ids=STREAMS)
def test_only_the_chunk_of_counts_is_hidden(stream, shown):
    assert filtered(stream) == shown


@pytest.mark.parametrize(("stream", "shown"), STREAMS.values(), ids=STREAMS)
def test_every_way_to_cut_a_stream_gives_the_same_bytes(stream, shown):
    assert filtered(*(stream[i : i + 1] for i in range(len(stream)))) == shown
    for cut in range(len(stream)):
        assert filtered(stream[:cut], stream[cut:]) == shown, cut


@given(
    st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"data: x", b": usage", b"\xff", TEXT]) | st.binary(max_size=9))
)
def test_a_stream_without_counts_passes_as_it_is(pieces):
    assert filtered(*pieces) == b"".join(pieces)


def test_a_whole_event_is_not_held_back():
    kept = UsageChunkFilter()
    assert kept.feed(TEXT) == TEXT
    assert kept.feed(TEXT[:-1]) == b""
    assert kept.feed(b"\n" + TEXT[:9]) == TEXT


@pytest.mark.parametrize("step", [7, 100, 5000])
def test_an_event_too_large_to_be_the_one_flows_through(step):
    large = b'data: {"choices":[],"usage":{"a":"' + b"x" * 500 + b'"}}\r\n\r\n'
    stream = TEXT + large + USAGE + large + DONE
    kept = UsageChunkFilter(max_chunk_bytes=150)
    shown = b"".join(kept.feed(stream[i : i + step]) for i in range(0, len(stream), step)) + kept.flush()
    assert shown == TEXT + large + large + DONE


#: request, and the part of it that is replaced by what
ASKS = {
    "no options": ('{"stream":true}', '{"stream":true,"stream_options":{"include_usage":true}}'),
    "space at the end": ('{"stream": true }\n', '{"stream": true ,"stream_options":{"include_usage":true}}\n'),
    "empty options": (
        '{"stream_options": {}, "stream":true}',
        '{"stream_options": {"include_usage":true}, "stream":true}',
    ),
    "other options": (
        '{"stream":true,"stream_options":{"include_obfuscation" : false}}',
        '{"stream":true,"stream_options":{"include_usage":true,"include_obfuscation" : false}}',
    ),
    "asked not to": (
        '{"stream":true,"stream_options":{"a":[1,{"include_usage":9}], "include_usage" : false , "b":2}}',
        '{"stream":true,"stream_options":{"a":[1,{"include_usage":9}], "include_usage" : true , "b":2}}',
    ),
    "options that are null": (
        '{"stream_options" : null, "stream":true}',
        '{"stream_options" : {"include_usage":true}, "stream":true}',
    ),
    "options of the wrong type": (
        '{"stream_options":"x,}", "stream":true}',
        '{"stream_options":{"include_usage":true}, "stream":true}',
    ),
    "the same name further in": (
        '{"tools":[{"stream_options":{"a":1}}],"stream":true,"n":1.50}',
        '{"tools":[{"stream_options":{"a":1}}],"stream":true,"n":1.50,"stream_options":{"include_usage":true}}',
    ),
    "the same name in a text": (
        '{"stream":true,"x":"\\"stream_options\\":{}","stream_options":{"x":"}"}}',
        '{"stream":true,"x":"\\"stream_options\\":{}","stream_options":{"include_usage":true,"x":"}"}}',
    ),
    "the last one of two counts": (
        '{"stream_options":{"include_usage":true},"stream":true,"stream_options":{}}',
        '{"stream_options":{"include_usage":true},"stream":true,"stream_options":{"include_usage":true}}',
    ),
    "an escaped name": (
        '{"stream":true,"stream\\u005foptions":{}}',
        '{"stream":true,"stream\\u005foptions":{"include_usage":true}}',
    ),
    "text of any script": (
        '{"m":"Grüße \\ud83d\\ude00 😀","stream":true}',
        '{"m":"Grüße \\ud83d\\ude00 😀","stream":true,"stream_options":{"include_usage":true}}',
    ),
    "asked already": ('{"stream":true,"stream_options":{"include_usage":true}}',) * 2,
    "no stream": ('{"stream":false}', '{"stream":false}'),
    "stream unsaid": ('{"model":"x"}', '{"model":"x"}'),
    "a list": ("[1]", "[1]"),
    "no JSON": ('{"stream":true', '{"stream":true'),
}


@pytest.mark.parametrize(("body", "asking"), ASKS.values(), ids=ASKS)
def test_a_request_asks_for_its_counts(body, asking):
    assert ask_for_usage(body.encode()).decode() == asking


@pytest.mark.parametrize(("body", "_"), ASKS.values(), ids=ASKS)
def test_asking_twice_changes_nothing(body, _):
    assert ask_for_usage(ask_for_usage(body.encode())) == ask_for_usage(body.encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["a", "stream_options", "include_usage", "é", '"', "{"]), JSON),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_nothing_but_the_question_is_new(request_body, indent, ascii_only):
    request_body["stream"] = True
    asking = json.loads(ask_for_usage(json.dumps(request_body, indent=indent, ensure_ascii=ascii_only).encode()))
    options = request_body.get("stream_options")
    request_body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    assert asking == request_body
