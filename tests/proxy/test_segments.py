import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.segments import Kind, encoded, examine, frames, segment_number, segment_path
from tests.proxy.spool_samples import ended, started


def segment(*sizes: int) -> tuple[bytes, list[int]]:
    """Frames of some sizes, and where each ends."""
    data, ends = b"", []
    for number, size in enumerate(sizes):
        data += encoded(Kind.END, number, ended(f"r{number}", user_agent="x" * size))
        ends.append(len(data))
    return data, ends


def numbers(data: bytes) -> list[int]:
    return [frame.number for frame in examine(data).frames]


SIZES = st.lists(st.integers(0, 60), min_size=1, max_size=6)


def test_frames_come_back_as_they_went_in():
    data = encoded(Kind.NEXT, 7) + encoded(Kind.START, 0, started("a")) + encoded(Kind.SHIPPED, 3)
    assert [(frame.kind, frame.number) for frame in frames(data)] == [
        (Kind.NEXT, 7),
        (Kind.START, 0),
        (Kind.SHIPPED, 3),
    ]
    assert examine(data).good_until == len(data)


@given(SIZES, st.data())
def test_cut_at_any_byte_the_whole_frames_stay(sizes, data):
    whole, ends = segment(*sizes)
    cut = data.draw(st.integers(0, len(whole)))
    examined = examine(whole[:cut])
    kept = [end for end in ends if end <= cut]
    assert [frame.end for frame in examined.frames] == kept
    assert examined.good_until == (kept[-1] if kept else 0)
    assert not examined.damaged
    assert list(frames(whole[:cut])) == examined.frames


@given(SIZES, st.data())
def test_with_any_byte_changed_only_its_frame_is_lost(sizes, data):
    whole, ends = segment(*sizes)
    place = data.draw(st.integers(0, len(whole) - 1))
    change = data.draw(st.integers(1, 255))
    harmed = next(number for number, end in enumerate(ends) if place < end)
    examined = examine(whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :])
    assert [frame.number for frame in examined.frames] == [n for n in range(len(sizes)) if n != harmed]
    assert examined.damaged is (harmed != len(sizes) - 1)


@given(SIZES, st.binary(max_size=200))
def test_any_bytes_behind_the_frames_are_a_torn_tail(sizes, tail):
    whole, _ = segment(*sizes)
    assert numbers(whole + tail) == list(range(len(sizes)))
    assert not examine(whole + tail).damaged


@given(st.binary(max_size=300))
def test_any_bytes_can_be_examined(data):
    assert examine(data).frames == []


@pytest.mark.parametrize(
    ("name", "number"),
    [("segment-00000012.log", 12), ("segment-00000012.log.corrupt", None), ("segment-12.log", None), ("id", None)],
)
def test_segments_are_known_by_their_names(tmp_path, name, number):
    assert segment_number(tmp_path / name) == number


def test_names_sort_as_numbers_do(tmp_path):
    assert segment_path(tmp_path, 9).name < segment_path(tmp_path, 10).name
