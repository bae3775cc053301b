"""Calls on their way from logs to the ledger: each kept once, on disk, so that gigabytes of logs need little memory."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from data.errors import ImportFailed
from data.imports.claude_code import Call, better

_CREATE = "CREATE TABLE calls (key TEXT PRIMARY KEY, ended_at INTEGER, seen_at INTEGER, call BLOB) WITHOUT ROWID"
_WRITE = "INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?)"
_KNOWN = "SELECT call, seen_at FROM calls WHERE key = ?"
#: Calls that are held in memory: most lines of a call follow each other.
_HELD = 4_000
_encode = msgspec.msgpack.encode
_decoder = msgspec.msgpack.Decoder(Call)


class Kept(NamedTuple):
    """The best word on a call, and when the last line about it was written (UTC microseconds)."""

    call: Call
    seen_at: int


class Scratch:
    """The calls of one import, in a file that is gone afterwards."""

    def __init__(self) -> None:
        self._held: dict[str, Kept] = {}

    def __enter__(self) -> Self:
        """Make the file. Raises `ImportFailed`, as all of it does where the disk is full."""
        with _told():
            self._folder = tempfile.TemporaryDirectory(prefix="claude-proxy-import-")
            self._file = sqlite3.connect(Path(self._folder.name) / "calls.sqlite", isolation_level=None)
            for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -65536"):
                self._file.execute(f"PRAGMA {pragma}")
            self._file.execute(_CREATE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the file."""
        self._file.close()
        self._folder.cleanup()

    def add(self, call: Call) -> None:
        """Keep what a line says of a call."""
        kept = Kept(call, call.ended_at)
        held = self._held.get(call.key)
        self._held[call.key] = kept if held is None else _together(held, kept)
        if len(self._held) >= _HELD:
            self._write()

    def calls(self) -> Iterator[Kept]:
        """Every call, by the time it ended."""
        self._write()
        with _told():
            found = self._file.execute("SELECT call, seen_at FROM calls ORDER BY ended_at, key")
        for row in found:
            yield _kept(row)

    def _write(self) -> None:
        with _told():
            for key, held in self._held.items():
                known = self._file.execute(_KNOWN, (key,)).fetchone()
                kept = held if known is None else _together(_kept(known), held)
                self._file.execute(_WRITE, (key, kept.call.ended_at, kept.seen_at, _encode(kept.call)))
        self._held.clear()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        folder = tempfile.gettempdir()
        raise ImportFailed(
            f"the temporary folder {folder} cannot be written ({error}); TMPDIR names another"
        ) from error


def _together(one: Kept, other: Kept) -> Kept:
    return Kept(better(one.call, other.call), max(one.seen_at, other.seen_at))


def _kept(row: tuple[bytes, int]) -> Kept:
    return Kept(_decoder.decode(row[0]), row[1])
