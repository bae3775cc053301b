"""Appending to the spool's segments: one write a frame, a new file when one is full, durability in groups."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from proxy.segments import Kind, Segment, encoded, segment_path

#: Writes bytes to a file descriptor and says how many it took, like `os.write`.
Write = Callable[[int, bytes], int]

#: Reserves a file's bytes, which read as zeros until they are written.
_reserve: Callable[[int, int, int], None] | None = getattr(os, "posix_fallocate", None)
_sync_data: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)


@dataclass(frozen=True, slots=True)
class Unsynced:
    """What has to reach the disk: files that are full, the folder if files are new in it, the active file."""

    full: list[int]
    folder: Path | None
    active: int
    number: int

    def sync(self) -> None:
        """Make it durable and close the full files. Raises OSError."""
        for descriptor in self.full:
            _sync_data(descriptor)
        if self.folder is not None:
            sync_folder(self.folder)
        _sync_data(self.active)
        for descriptor in self.full:
            os.close(descriptor)


class SegmentLog:
    """The segments of one folder, the last of them open for appending. Its user provides the lock."""

    def __init__(
        self, folder: Path, segments: list[Segment], number: int, next_sequence: int, *, max_bytes: int, write: Write
    ) -> None:
        self.segments = segments
        self._folder = folder
        self._max_bytes = max_bytes
        self._write = write
        self._full: list[int] = []
        self._new_file = True
        self._durable = 0  # the newest segment whose first frame is on the disk
        self.active, self._descriptor = self._create(number, next_sequence)
        self.segments.append(self.active)

    def append(self, frames: bytes, *, next_sequence: int) -> Segment:
        """Write whole frames at once; return the segment they went to. Raises OSError, and then nothing was written."""
        if self.active.size + len(frames) > self._max_bytes and self.active.size:
            self._rotate(next_sequence)
        self._put(self._descriptor, self.active, frames)
        return self.active

    def unsynced(self) -> Unsynced:
        """What to sync now; give it back with `synced` or `not_synced`."""
        work = Unsynced(self._full, self._folder if self._new_file else None, self._descriptor, self.active.number)
        self._full, self._new_file = [], False
        return work

    def synced(self, work: Unsynced) -> None:
        """Note that it is durable."""
        self._durable = work.number

    def not_synced(self, work: Unsynced) -> None:
        """Keep what failed for the next time."""
        self._full = work.full + self._full
        self._new_file = self._new_file or work.folder is not None

    def detach_shipped(self, offset: int) -> list[Path]:
        """Forget the oldest segments that are done with, and name their files, which may go.

        Only from the front: an end must never go before its start. And only behind a segment that is
        durable, because it carries the sequence number on.
        """
        done = []
        while self.segments[0].number < self._durable and _is_done(self.segments[0], offset):
            done.append(self.segments.pop(0).path)
        return done

    def close(self) -> None:
        """Close the files; what is appended from now on fails."""
        with suppress(OSError):
            os.ftruncate(self._descriptor, self.active.size)
        for descriptor in [*self._full, self._descriptor]:
            os.close(descriptor)
        self._full, self._descriptor = [], -1

    def _rotate(self, next_sequence: int) -> None:
        os.ftruncate(self._descriptor, self.active.size)
        segment, descriptor = self._create(self.active.number + 1, next_sequence)
        self._full.append(self._descriptor)
        self._new_file = True
        self.active, self._descriptor = segment, descriptor
        self.segments.append(segment)

    def _create(self, number: int, next_sequence: int) -> tuple[Segment, int]:
        segment = Segment(number, segment_path(self._folder, number))
        descriptor = os.open(segment.path, _FLAGS, 0o600)
        self._make_room(descriptor)
        try:
            self._put(descriptor, segment, encoded(Kind.NEXT, next_sequence))
        except OSError:
            os.close(descriptor)
            segment.path.unlink(missing_ok=True)
            raise
        return segment, descriptor

    def _make_room(self, descriptor: int) -> None:
        # a write that makes its file longer waits for a sync that is under way; one within it does not
        if _reserve is None:
            return
        try:
            _reserve(descriptor, 0, self._max_bytes)
        except OSError:  # a disk that has no room for a whole segment may have some for a record
            os.ftruncate(descriptor, 0)

    def _put(self, descriptor: int, segment: Segment, frame: bytes) -> None:
        written = self._write(descriptor, frame)
        if written == len(frame):
            segment.size += written
            return
        os.ftruncate(descriptor, segment.size)
        os.lseek(descriptor, segment.size, os.SEEK_SET)
        raise OSError(f"only {written} of {len(frame)} bytes could be written to {segment.path.name}")


def sync_folder(folder: Path) -> None:
    """Make the folder's list of files durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)


def remove(paths: list[Path]) -> None:
    """Delete files, whether they are still there or not."""
    for path in paths:
        with suppress(FileNotFoundError):
            path.unlink()


def _is_done(segment: Segment, offset: int) -> bool:
    return segment.last <= offset and segment.in_flight == 0
