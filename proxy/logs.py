"""Structured log lines: one JSON object a line on standard error, short, and never a secret."""

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

import msgspec

from data.log_safety import LIMIT, NothingQuoted, shortened

#: The request id of the call that is served; each log line of the call carries it. Set it where the id is made, and
#: reset it at the call's end: the next call on the connection is served by the same task.
CALL: ContextVar[str] = ContextVar("call", default="")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One JSON object a record: time, level, logger, message, the call's request id, the `extra` fields, the error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if call := CALL.get():
            line["request_id"] = call
        line |= {name: str(value) for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return _fitting(line)


def _fitting(line: dict[str, object]) -> str:
    while len(text := msgspec.json.encode(line).decode()) > LIMIT:
        longest = max(line, key=lambda name: len(str(line[name])))
        line[longest] = shortened(str(line[longest]), len(str(line[longest])) // 2)
    return text


def set_level(level: str) -> None:
    """Log what is as grave as `level` ("debug", "info" …) or graver."""
    logging.getLogger().setLevel(level.upper())


def configure(level: int = logging.INFO) -> None:
    """Send this process's log records to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(NothingQuoted())
    logging.basicConfig(level=level, handlers=[handler], force=True)
