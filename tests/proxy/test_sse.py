from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.sse import SseEvent, SseParser

SAMPLES: dict[str, tuple[bytes, list[tuple[str, bytes]]]] = {
    "line feeds": (b"event: a\ndata: 1\n\nevent: b\ndata: 2\n\n", [("a", b"1"), ("b", b"2")]),
    "carriage returns and line feeds": (b"event: a\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", [("a", b"1"), ("", b"2")]),
    "carriage returns": (b"event: a\rdata: 1\r\rdata: 2\r\r", [("a", b"1"), ("", b"2")]),
    "mixed line ends": (b"event: a\r\ndata: 1\n\r\ndata: 2\r\n\ndata: 3\n\r", [("a", b"1"), ("", b"2"), ("", b"3")]),
    "several data lines": (b"data: 1\ndata: 2\ndata:\ndata: 3\n\n", [("", b"1\n2\n\n3")]),
    "comments": (b": hello\n\n:\ndata: 1\n: between\nevent: x\n\n", [("x", b"1")]),
    "one space only": (b"data:1\n\ndata:  2\n\nevent:e\ndata: 3\n\n", [("", b"1"), ("", b" 2"), ("e", b"3")]),
    "a byte order mark": (b"\xef\xbb\xbfdata: 1\n\n", [("", b"1")]),
    "a mark that is none": (b"\xef\xbbdata: 1\n\ndata: 2\n\n", [("", b"2")]),
    "an event without data": (b"event: a\n\ndata: 1\n\n", [("", b"1")]),
    "empty data": (b"data\n\ndata:\n\n", [("", b""), ("", b"")]),
    "unknown fields": (b"id: 7\nretry: 10\ndata: 1\nfoo\n\n", [("", b"1")]),
    "data before its name": (b"data: 1\nevent: a\n\n", [("a", b"1")]),
    "more blank lines": (b"\n\n\ndata: 1\n\n\n\ndata: 2\n\n\n", [("", b"1"), ("", b"2")]),
    "characters of several bytes": ("data: grüße 😀\n\n".encode(), [("", "grüße 😀".encode())]),
    "no blank line at the end": (b"data: 1\n\nevent: z\ndata: 2", [("", b"1"), ("z", b"2")]),
    "a line end at the end": (b"event: z\ndata: 2\r\n", [("z", b"2")]),
    "nothing": (b"", []),
    "invalid UTF-8": (b"event: \xff\ndata: \xfe\n\n", [("\ufffd", b"\xfe")]),
}


def parsed(*pieces: bytes, limit: int = 1000) -> list[tuple[str, bytes]]:
    parser = SseParser(max_event_bytes=limit)
    events: list[SseEvent] = [event for piece in pieces for event in parser.feed(piece)]
    return [(event.event, event.data) for event in events + parser.flush()]


@pytest.mark.parametrize(("stream", "events"), SAMPLES.values(), ids=SAMPLES)
def test_a_stream_becomes_its_events(stream, events):
    assert parsed(stream) == events


@pytest.mark.parametrize(("stream", "events"), SAMPLES.values(), ids=SAMPLES)
def test_every_way_to_cut_a_stream_gives_the_same_events(stream, events):
    assert parsed(*(stream[i : i + 1] for i in range(len(stream)))) == events
    for cut in range(len(stream)):
        assert parsed(stream[:cut], stream[cut:]) == events


@given(
    st.lists(st.sampled_from([b"data: x", b"event: e", b"\n", b"\r", b"\r\n", b":", b" ", b"\xef\xbb\xbf"])), st.data()
)
def test_any_bytes_give_the_same_events_however_they_are_cut(pieces, data):
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    edges = [0, *cuts, len(stream)]
    assert parsed(*(stream[a:b] for a, b in pairwise(edges))) == parsed(stream)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_an_event_that_is_too_large_is_dropped_and_counted(step, end):
    stream = b"data: 1\n\ndata: 0123456789abcdefghi\n\nevent: toolong\ndata: 01234\n\ndata: 2\n\n".replace(b"\n", end)
    parser = SseParser(max_event_bytes=20)
    events = [e.data for i in range(0, len(stream), step) for e in parser.feed(stream[i : i + step])]
    assert events == [b"1", b"2"]
    assert parser.dropped == 2


@pytest.mark.parametrize("step", [1, 5, 1000])
def test_an_event_of_just_the_limit_is_kept(step):
    stream = b"data: 0123456789abcd\n\nevent: abcde\ndata: 1\n\n"
    parser = SseParser(max_event_bytes=20)
    events = [e.data for i in range(0, len(stream), step) for e in parser.feed(stream[i : i + step])]
    assert events == [b"0123456789abcd", b"1"]
    assert parser.dropped == 0


def test_memory_stays_bounded_by_the_limit():
    parser = SseParser(max_event_bytes=1000)
    for _ in range(1000):
        assert parser.feed(b"data: " + b"x" * 500) == []
    assert sum(map(len, parser._parts)) <= 1000
    assert parser.flush() == []
    assert parser.dropped == 1
