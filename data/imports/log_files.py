"""Files of session logs on disk, and their lines."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.errors import ImportFailed

#: A longer line is skipped: it would be held in memory as a whole.
MAX_LINE_BYTES = 64 * 1024 * 1024
_PROJECTS = "projects"


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file; `parts` are its path's, and `written_at` is when it was last written, seconds since the epoch."""

    path: Path
    size: int
    written_at: int

    @property
    def parts(self) -> tuple[str, ...]:
        """Its folders and its name."""
        return self.path.parts


def log_files(place: Path) -> list[LogFile]:
    """The logs at `place`: Claude Code's folder, its `projects`, one project's folder in there, or one file.

    Raises `ImportFailed` where there is none.
    """
    place = place.expanduser().absolute()
    if place.is_file():
        found = [place]
    elif place.is_dir():
        folder = place / _PROJECTS if (place / _PROJECTS).is_dir() else place
        found = sorted(_regular_files(folder))
    else:
        raise ImportFailed(f"there is no {place}; Claude Code's logs usually lie in ~/.claude/projects")
    if not found:
        raise ImportFailed(f"no session log (*.jsonl) lies below {place}; they usually lie in ~/.claude/projects")
    return [_log_file(path) for path in found]


def _regular_files(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        paths = (Path(root, name) for name in names if name.endswith(".jsonl"))
        # a pipe of that name would be waited for
        yield from (path for path in paths if path.is_file() or path.is_symlink())


def _log_file(path: Path) -> LogFile:
    try:
        status = path.stat()
    except OSError:  # gone or out of reach: reading it says so
        return LogFile(path, 0, 0)
    return LogFile(path, status.st_size, int(status.st_mtime))


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file with their ends; of one that is too long only the beginning. Raises OSError."""
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES):
            yield line
            while len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES)
