"""The first half of an import: every line of every file, and of each call the most complete word."""

from collections.abc import Callable, Sequence
from datetime import datetime

from data.imports.claude_code import Call, Line, Transcript
from data.imports.log_files import MAX_LINE_BYTES, LogFile, lines
from data.imports.outcome import Imported
from data.imports.scratch import Scratch

_TOLD_BYTES = 1024 * 1024


def read_logs(
    files: Sequence[LogFile], scratch: Scratch, since: datetime, done: Imported, progress: Callable[[int], object]
) -> None:
    """Put the calls that the files tell of into `scratch`, and what else they hold into `done`'s numbers.

    Files that were last written before `since` (aware) are left out. `progress` is told how many bytes are done.
    """
    for file in files:
        done.files += 1
        if file.written_at and file.written_at < since.timestamp():
            progress(file.size)
            continue
        try:
            _read(file, scratch, done, progress)
        except OSError as error:
            done.fails(file.path, error)


def _read(file: LogFile, scratch: Scratch, done: Imported, progress: Callable[[int], object]) -> None:
    transcript = Transcript(file.parts, file.written_at)
    untold = 0
    for number, line in enumerate(lines(file.path), 1):
        untold += len(line)
        if untold >= _TOLD_BYTES:
            progress(untold)
            untold = 0
        if line.isspace():
            continue
        done.lines += 1
        found = transcript.read(line)
        if isinstance(found, Call):
            done.mentions += 1
            scratch.add(found)
        elif found is Line.SYNTHETIC:
            done.synthetic += 1
        elif found is Line.UNREADABLE and not _is_unfinished(line):
            done.breaks(file.path, number)
    progress(untold)


def _is_unfinished(line: bytes) -> bool:
    """Whether it is a file's last line, which is still being written."""
    return not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES
