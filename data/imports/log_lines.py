"""The lines of Claude Code's session logs: the fields that are read, each of any type, as nobody vouches for them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

#: What reading a line raises that is none, or holds nonsense.
BAD = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)
_MAX_TEXT = 200
_EPOCH, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


class LogLine(msgspec.Struct, rename="camel"):
    """A line of a log."""

    type: Any = None
    uuid: Any = None
    parent_uuid: Any = None
    timestamp: Any = None
    session_id: Any = None
    cwd: Any = None
    git_branch: Any = None
    version: Any = None
    is_sidechain: Any = None
    agent_id: Any = None
    request_id: Any = None
    is_api_error_message: Any = None
    duration_ms: Any = None
    forked_from: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()
    data: msgspec.Raw = msgspec.Raw()


class LogMessage(msgspec.Struct):
    """The provider's answer, or a part of it, in an assistant's line."""

    id: Any = None
    model: Any = None
    stop_reason: Any = None
    usage: msgspec.Raw = msgspec.Raw()


class Fork(msgspec.Struct, rename="camel"):
    """Where a line of a branched session was copied from."""

    session_id: Any = None


class Progress(msgspec.Struct, rename="camel"):
    """What a line of a parent may hold: a line of its sub-agent."""

    message: msgspec.Raw = msgspec.Raw()
    agent_id: Any = None


line_decoder = msgspec.json.Decoder(LogLine)
message_decoder = msgspec.json.Decoder(LogMessage)
fork_decoder = msgspec.json.Decoder(Fork)
progress_decoder = msgspec.json.Decoder(Progress)
usage_decoder = msgspec.json.Decoder(dict[str, Any])


def is_object(raw: msgspec.Raw) -> bool:
    """Whether it is a JSON object; an absent field is none."""
    return bytes(memoryview(raw)[:1]) == b"{"


def text_of(value: object, limit: int = _MAX_TEXT) -> str:
    """Text that can be stored: printable, cut to `limit` characters; '' for what is none."""
    if not isinstance(value, str):
        return ""
    text = value[:limit].encode("utf-8", "replace").decode()
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def microseconds(timestamp: object) -> int:
    """A line's time, UTC microseconds. Raises `ValueError` for what is no time that a log can have been written at."""
    at = datetime.fromisoformat(text_of(timestamp))
    since = (at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH
    if not timedelta() <= since < _LATEST - _EPOCH:
        raise ValueError("no time of a log")
    return since // _US
