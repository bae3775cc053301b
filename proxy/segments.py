"""The spool's files: append-only segments of frames, and how frames are found again in damaged ones.

A frame is a 24-byte head (magic, CRC-32 of all that follows it, payload length, kind, number) and a MessagePack
payload. The magic lets a reader find the next frame behind a damaged one. Behind the last frame there may be zeros:
space that was reserved.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

_HEAD: Final = struct.Struct("<4sIIB3xQ")
#: The head's two parts: the CRC covers everything behind itself.
_UNCHECKED: Final = struct.Struct("<4sI")
_CHECKED: Final = struct.Struct("<IB3xQ")
_CHECKED_FROM: Final = _UNCHECKED.size
_MAGIC: Final = b"\xf5\x1eSP"
_encode: Final = msgspec.msgpack.Encoder().encode
_NAME: Final = re.compile(r"segment-(\d{8})\.log")


class Kind(IntEnum):
    """What a frame tells, and what its number is."""

    NEXT = 1  # first in a segment: the sequence number that comes next
    START = 2  # a request is sent on; the number is 0
    END = 3  # a ledger record; its sequence number
    SHIPPED = 4  # the store has everything up to this sequence number


class Frame(NamedTuple):
    """One frame: where it lies in its segment, and its payload (still encoded)."""

    kind: int
    number: int
    begin: int
    end: int
    payload: memoryview


@dataclass(slots=True)
class Segment:
    """What the spool keeps in mind of one file. Sequence numbers are 0 while it holds no END frame."""

    number: int
    path: Path
    size: int = 0
    first: int = 0
    last: int = 0
    first_us: int = 0  # `ended_at` of its first record
    in_flight: int = 0  # starts in it whose end is not written yet

    def ended(self, sequence: int, ended_at: int) -> None:
        """Note an END frame."""
        if not self.first:
            self.first, self.first_us = sequence, ended_at
        self.last = sequence


def encoded(kind: Kind, number: int, value: msgspec.Struct | None = None) -> bytes:
    """A frame's bytes."""
    payload = b"" if value is None else _encode(value)
    checked = _CHECKED.pack(len(payload), kind, number)
    return _UNCHECKED.pack(_MAGIC, zlib.crc32(payload, zlib.crc32(checked))) + checked + payload


def payload_of(frame: bytes) -> bytes:
    """The payload of one whole frame."""
    return frame[_HEAD.size :]


def segment_path(folder: Path, number: int) -> Path:
    """Where a segment lies."""
    return folder / f"segment-{number:08d}.log"


def segment_number(path: Path) -> int | None:
    """The number of a segment file; None where the name is no segment's."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else None


def frame_at(data: memoryview, begin: int) -> Frame | None:
    """The whole and unharmed frame that begins there, or None."""
    if begin + _HEAD.size > len(data):
        return None
    magic, crc, length, kind, number = _HEAD.unpack_from(data, begin)
    end = begin + _HEAD.size + length
    if magic != _MAGIC or end > len(data) or zlib.crc32(data[begin + _CHECKED_FROM : end]) != crc:
        return None
    return Frame(kind, number, begin, end, data[begin + _HEAD.size : end])


def frames(data: bytes) -> Iterator[Frame]:
    """Frames from the beginning of `data` to the first that is not whole."""
    view, begin = memoryview(data), 0
    while (frame := frame_at(view, begin)) is not None:
        yield frame
        begin = frame.end


@dataclass(frozen=True, slots=True)
class Examined:
    """What is left of a segment: its good frames, how far they reach, and whether damage lies between them."""

    frames: list[Frame]
    good_until: int
    damaged: bool


def examine(data: bytes) -> Examined:
    """All unharmed frames. Bytes after the last one are a torn tail, bytes before it are damage."""
    view, begin, found, damaged = memoryview(data), 0, [], False
    good_until = 0
    while begin < len(data):
        frame = frame_at(view, begin)
        if frame is not None:
            damaged = damaged or frame.begin != good_until
            found.append(frame)
            begin = good_until = frame.end
        else:
            begin = data.find(_MAGIC, begin + 1)
            if begin < 0:
                break
    return Examined(found, good_until, damaged)
