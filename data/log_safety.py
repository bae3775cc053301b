"""What log lines may hold: nothing of what a caller sent, and no more of anything than fits on a screen.

HTTP libraries put the bytes they could not parse into their exceptions, and those bytes are keys and prompts.
Records of such libraries keep their words and the exception's class and places, never its text.
"""

import logging
import traceback
from collections import deque

LIMIT = 2_000  # characters a line
#: Whose exceptions may quote the wire. asyncio tells of exceptions that nobody fetched, whoever raised them.
QUOTING = ("aiohttp", "asyncio")
BURST, WINDOW_S = 10, 60.0  # lines a logger may write in that time: anybody who can connect can cause them
_PLACES = 6


class NothingQuoted(logging.Filter):
    """Takes the exceptions' text out of the records of `QUOTING` loggers, and drops records beyond the burst."""

    def __init__(self) -> None:
        super().__init__()
        self._written: dict[str, deque[float]] = {}
        self._dropped: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; it is changed in place."""
        if record.name.partition(".")[0] not in QUOTING:
            if _is_quoting(record.exc_info[1] if record.exc_info else None):
                _unquote(record)
            return True
        if not self._has_room(record):
            self._dropped[record.name] = self._dropped.get(record.name, 0) + 1
            return False
        _unquote(record)
        if dropped := self._dropped.pop(record.name, 0):
            record.msg += f" ({dropped} like it were left out)"
        return True

    def _has_room(self, record: logging.LogRecord) -> bool:
        written = self._written.setdefault(record.name, deque(maxlen=BURST))
        if len(written) == BURST and record.created - written[0] < WINDOW_S:
            return False
        written.append(record.created)
        return True


def _is_quoting(error: BaseException | None) -> bool:
    """Whether a traceback of `error` would show what such a library raised."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if type(error).__module__.partition(".")[0] in QUOTING:
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _unquote(record: logging.LogRecord) -> None:
    said = record.getMessage().partition("\n")[0]  # asyncio lists what an exception says from the second line on
    error = record.exc_info[1] if record.exc_info else None
    record.msg = f"{said}: {outline(error)}" if error else said
    record.args, record.exc_info, record.exc_text, record.stack_info = (), None, None, None


def outline(error: BaseException) -> str:
    """An exception's class and the innermost places it passed, without its text."""
    frames = traceback.extract_tb(error.__traceback__)[-_PLACES:]
    places = ", ".join(f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno}" for frame in frames)
    return type(error).__name__ + (f" at {places}" if places else "")


def shortened(text: str, limit: int = LIMIT) -> str:
    """The text, or its beginning and its end: an error's last line says most."""
    if len(text) <= limit:
        return text
    head = max(limit // 2 - 1, 0)
    return text[:head] + "…" + text[len(text) - (limit - head - 1) :]


class ShortLines(logging.Formatter):
    """Plain lines of at most `LIMIT` characters."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return shortened(super().format(record))
