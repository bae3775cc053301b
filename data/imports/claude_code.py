"""Claude Code's session logs: which calls they tell of. Pure.

A log is a file of JSON lines, one session's (`PROJECT/SESSION.jsonl`) or one sub-agent's (`agent-ID.jsonl`, today below
`PROJECT/SESSION/subagents`). An answer is written as one line a content block, each with the answer's `message.id` and
its usage so far, so that the output count grows from line to line; versions of early 2026 never wrote the last count,
nor a `stop_reason`. Sessions that are resumed or branched copy the lines of earlier ones, also under another session's
id, `/btw` even under another `requestId`. So a call is known by its `message.id`, and of all that is said of it the
most complete word counts (`better`).
"""

import re
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from enum import Enum
from functools import lru_cache
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import msgspec

from data.imports.log_lines import (
    BAD,
    LogLine,
    LogMessage,
    fork_decoder,
    is_object,
    line_decoder,
    message_decoder,
    microseconds,
    progress_decoder,
    text_of,
    usage_decoder,
)
from data.imports.usage import count, parts_of

#: What is no call to the provider: words of Claude Code itself, errors among them.
_SYNTHETIC = "<synthetic>"
#: A sub-agent whose id the log does not tell.
_SOME_AGENT = "sidechain"
#: Ids that Anthropic makes (of Bedrock and Vertex too) are unique; other gateways' may be the same for every answer.
_UNIQUE = re.compile(r"msg_\w{16,}")
_NOT_IN_FOLDERS = re.compile(r"[^a-zA-Z0-9]")
_MAX_USAGE_BYTES = 64 * 1024
#: How many lines back a line's parent is looked for.
_REMEMBERED = 512
_LONGEST = timedelta(hours=1) // timedelta(microseconds=1)


class Call(msgspec.Struct, frozen=True, array_like=True):
    """What one line says of a call. Times are UTC microseconds; `started_at` is 0 where unknown; text '' likewise."""

    key: str  # what tells calls apart
    ended_at: int
    started_at: int
    message_id: str
    request_id: str  # the provider's
    model: str
    stop_reason: str
    usage: str  # the provider's object, JSON
    session: str
    agent: str
    cwd: str
    project: str
    branch: str
    version: str
    copied: bool  # out of another session's log, as far as the line tells
    sidechain: bool
    written_at: int  # when its file was last written, seconds

    def said(self) -> dict[str, Any]:
        """The usage object."""
        return usage_decoder.decode(self.usage)


class Line(Enum):
    """A line that tells of no call."""

    OTHER = "other"
    SYNTHETIC = "synthetic"  # an answer that Claude Code made itself, such as an error's text
    UNREADABLE = "unreadable"


class _Seen(NamedTuple):
    """A line that others may follow: its time, and of an answer's its message, when the call began, its first line."""

    at: int
    message_id: str = ""
    started_at: int = 0
    root: str = ""


class Transcript:
    """Reads the lines of one file, in their order. `parts`: the file's path below the logs' folder, folders first."""

    def __init__(self, parts: Iterable[str], written_at: int = 0) -> None:
        *folders, name = map(text_of, parts)
        self._folders = frozenset(folders)
        stem = name.removesuffix(".jsonl")
        self._agent = stem.removeprefix("agent-") if stem.startswith("agent-") else ""
        self._session = _session_of_path(folders) if self._agent else stem
        self._written_at = written_at
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._last: _Seen | None = None  # the line before, if it was an answer's

    def read(self, data: bytes) -> Call | Line:
        """The call a line tells of, or why it tells of none."""
        try:
            line = line_decoder.decode(data)
            agent = ""
            if line.type == "progress" and (inner := _progress(line)) is not None:
                line, agent = inner
            return self._assistant(line, agent) if line.type == "assistant" else self._other(line)
        except BAD:
            return Line.UNREADABLE

    def _other(self, line: LogLine) -> Line:
        self._last = None
        if uuid := text_of(line.uuid):
            with suppress(*BAD):
                self._remember(uuid, _Seen(microseconds(line.timestamp)))
        return Line.OTHER

    def _assistant(self, line: LogLine, agent: str) -> Call | Line:
        message = message_decoder.decode(line.message) if memoryview(line.message).nbytes else LogMessage()
        if message.model == _SYNTHETIC or line.is_api_error_message is True:
            self._other(line)
            return Line.SYNTHETIC
        at, message_id = microseconds(line.timestamp), text_of(message.id)
        seen = self._follow(line, at, message_id)
        usage = _usage(message.usage)
        if not usage:
            return Line.OTHER
        fork = text_of(fork_decoder.decode(line.forked_from).session_id) if is_object(line.forked_from) else ""
        sidechain = line.is_sidechain is True or bool(agent or self._agent)
        cwd = text_of(line.cwd, 4096)
        return Call(
            key=_key(message_id, text_of(line.request_id), seen.root),
            ended_at=at,
            started_at=seen.started_at,
            message_id=message_id,
            request_id=text_of(line.request_id),
            model=text_of(message.model),
            stop_reason=text_of(message.stop_reason),
            usage=usage,
            session=fork or text_of(line.session_id) or self._session,
            agent=agent or text_of(line.agent_id) or self._agent or (_SOME_AGENT if sidechain else ""),
            cwd=cwd,
            project=project_of(cwd, self._folders),
            branch=text_of(line.git_branch),
            version=text_of(line.version),
            copied=bool(fork or agent),
            sidechain=sidechain,
            written_at=self._written_at,
        )

    def _follow(self, line: LogLine, at: int, message_id: str) -> _Seen:
        """The call of this line: that of an earlier line of the same message, else one that began with its parent."""
        uuid, unique = text_of(line.uuid), _UNIQUE.fullmatch(message_id)
        before = self._seen.get(text_of(line.parent_uuid))
        near = (before, self._last, self._seen.get(message_id) if unique else None)
        same = next((seen for seen in near if seen and message_id and seen.message_id == message_id), None)
        lasted = count(line.duration_ms)
        began = at - lasted * 1000 if lasted else same.started_at if same else before.at if before else 0
        seen = _Seen(at, message_id, began if at - _LONGEST <= began <= at else 0, same.root if same else uuid)
        self._last = seen
        for name in (uuid, message_id if unique else ""):
            self._remember(name, seen)
        return seen

    def _remember(self, name: str, seen: _Seen) -> None:
        if name:
            self._seen[name] = seen
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)


def better(one: Call, other: Call) -> Call:
    """The one that says more, whichever way round they come.

    Counts only grow while an answer is written; of equal ones the original's word is taken, not a copy's.
    """
    return min(one, other, key=_rank)


def _rank(call: Call) -> tuple[Any, ...]:
    parts = parts_of(call.said(), call.model)
    return (
        -sum(part.input + part.output for part in parts),
        -sum(part.tool_units for part in parts),
        not call.stop_reason,
        call.sidechain,
        call.copied,
        call.written_at,
        call.session,
        -call.ended_at,
        *msgspec.structs.astuple(call),
    )


@lru_cache(1024)
def project_of(cwd: str, folders: frozenset[str]) -> str:
    """The name of the folder that Claude Code was started in, which the log's folder is called after, else of `cwd`."""
    path = PureWindowsPath(cwd) if "\\" in cwd else PurePosixPath(cwd)
    above = (each for each in (path, *path.parents) if _NOT_IN_FOLDERS.sub("-", str(each)) in folders)
    return text_of(next(above, path).name)


def _session_of_path(folders: list[str]) -> str:
    """The session that a sub-agent's file lies under; '' where it lies beside the sessions' own."""
    return folders[-2] if len(folders) > 1 and folders[-1] == "subagents" else ""


def _key(message_id: str, request_id: str, root: str) -> str:
    if not message_id:
        return request_id or root
    return message_id if _UNIQUE.fullmatch(message_id) else f"{message_id} {request_id or root}"


def _progress(line: LogLine) -> tuple[LogLine, str] | None:
    """The sub-agent's line that this one repeats, and the agent; None where there is none."""
    if not is_object(line.data):
        return None
    progress = progress_decoder.decode(line.data)
    if not is_object(progress.message):
        return None
    inner = line_decoder.decode(progress.message)
    if inner.type != "assistant":
        return None
    for name in ("session_id", "cwd", "git_branch", "version", "timestamp"):
        setattr(inner, name, getattr(inner, name) or getattr(line, name))
    return inner, text_of(progress.agent_id) or _SOME_AGENT


def _usage(raw: msgspec.Raw) -> str:
    """The usage object as JSON; '' where there is none that says anything. Raises `ValueError` for a monstrous one."""
    if not is_object(raw):
        return ""
    if memoryview(raw).nbytes > _MAX_USAGE_BYTES:
        raise ValueError("no usage is that long")
    parts = parts_of(usage_decoder.decode(raw))
    return bytes(raw).decode() if any(part.input or part.output or part.tool_units for part in parts) else ""
