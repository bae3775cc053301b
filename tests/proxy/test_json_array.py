import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.usage.json_array import JsonArray

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.sampled_from(['"', "\\", '\\"', "}{", "[]"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), max_size=4)


def split(*pieces: bytes, **limits: int) -> list[bytes]:
    array = JsonArray(**limits)
    found = [event.data for piece in pieces for event in array.feed(piece)]
    return found + [event.data for event in array.flush()]


@given(OBJECTS, st.booleans(), st.booleans())
def test_every_way_to_cut_an_array_gives_its_objects(objects, ascii_only, spaced):
    separator = ("\r\n,\n", ": ") if spaced else (",", ":")
    text = json.dumps(objects, ensure_ascii=ascii_only, separators=separator).encode("utf-8", "surrogatepass")
    wanted = [
        json.dumps(each, ensure_ascii=ascii_only, separators=separator).encode("utf-8", "surrogatepass")
        for each in objects
    ]
    assert split(text) == wanted
    assert split(*(text[i : i + 1] for i in range(len(text)))) == wanted
    for cut in range(1, len(text)):
        assert split(text[:cut], text[cut:]) == wanted


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", []),
        (b"[]", []),
        (b'[1, "a", null]', []),
        (b'[{"a":1}', [b'{"a":1}']),
        (b'[{"a":1},{"b"', [b'{"a":1}']),
        (b'[{"a":"\\"}"},[2]]', [b'{"a":"\\"}"}', b"[2]"]),
        (b"]]]{}}}[[[", []),
        (b'[{"a":1}] [{"b":2}]', [b'{"a":1}', b'{"b":2}']),
    ],
)
def test_odd_arrays(text: bytes, found: list[bytes]):
    assert split(text) == found


@given(st.binary(max_size=80), st.integers(1, 20))
def test_no_bytes_raise(data: bytes, size: int):
    split(*(data[i : i + size] for i in range(0, len(data), size)))


def test_an_element_that_is_too_large_is_left_out():
    array = JsonArray(max_element_bytes=20)
    events = [event for piece in (b'[{"a":"', b"x" * 30, b'"},{"b":', b"1}]") for event in array.feed(piece)]
    assert [event.data for event in events] == [b'{"b":1}']
    assert array.dropped == 1


@pytest.mark.parametrize("begin", [b'[{"a":"', b'[{"a":"\\', b"[{" * 1])
def test_a_long_string_is_looked_at_once(begin: bytes):
    piece, array = b'\\"' * 500 if begin.endswith(b"{") else b"x" * 1000, JsonArray()
    array.feed(begin)
    begun, *parts = [_fed(array, piece, count) for count in (500, 2_000, 2_000, 2_000)]
    # what was looked at again and again would cost the last pieces several times as much as the first
    assert max(parts) < 3 * min(parts) + begun


def _fed(array: JsonArray, piece: bytes, count: int) -> float:
    """The CPU seconds that so many more pieces take."""
    began = time.process_time()
    for _ in range(count):
        array.feed(piece[:1000])
    return time.process_time() - began
