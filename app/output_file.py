"""A file that takes a program's output and never outgrows its bound: when full it becomes the old one."""

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

#: Bytes a file may have; with the one old file that is kept, a program's output takes twice as much at most.
LOG_BYTES = 10 * 1024 * 1024


class OutputFile:
    """Open for appending at `path`, with the old one at `path`.1; both for their owner only. Raises OSError."""

    def __init__(self, path: Path, limit: int = LOG_BYTES) -> None:
        self._path = path
        self._limit = limit
        self._open()

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.fchmod(self._file, 0o600)  # it may be there from before, open to others
        self._size = os.fstat(self._file).st_size

    def write(self, chunk: bytes) -> None:
        """Append a chunk, which stays whole if it fits into a file at all. Raises OSError."""
        if self._size and self._size + len(chunk) > self._limit:
            self._turn()
        self._size += os.write(self._file, chunk[-self._limit :])

    def _turn(self) -> None:
        full = self._file
        with contextlib.suppress(FileNotFoundError):  # somebody took it away
            self._path.replace(self._path.with_name(self._path.name + ".1"))
        self._open()
        os.close(full)

    def __enter__(self) -> Self:
        """The file itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file."""
        os.close(self._file)
