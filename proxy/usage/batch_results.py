"""The results of a batch: one JSON line each, with an answer and its counts, or why there is none; Anthropic's form."""

import logging
from collections.abc import Callable
from typing import Final

import msgspec

from proxy.sse import MAX_EVENT_BYTES
from proxy.usage import anthropic, fields
from proxy.usage.usage import Usage

SUCCEEDED: Final = "succeeded"
#: What a batch's requests cost: half of the usual.
TIER: Final = "batch"
MAX_CUSTOM_ID: Final = 4096
_log = logging.getLogger(__name__)


class BatchResult(msgspec.Struct, frozen=True):
    """One line. `kind`: succeeded, errored, canceled or expired; `size`: its bytes.

    Where it did not succeed, `status` is the HTTP status that it says; 0 for none. `request_id`: '' where it has none.
    """

    custom_id: str
    kind: str
    usage: Usage
    size: int
    status: int = 0
    request_id: str = ""


class _Result(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class _Line(msgspec.Struct):
    custom_id: msgspec.Raw = msgspec.Raw()
    result: _Result | None = None


_LINE: Final = msgspec.json.Decoder(_Line)


class ResultsParser:
    """Gives each result to `take` as soon as its line is there; the fetch itself costs nothing."""

    def __init__(
        self,
        take: Callable[[BatchResult], object],
        read: Callable[[bytes], BatchResult | None],
        *,
        tries: int | None = None,
        max_line_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        """`read` gives None for a line that is no result.

        `tries`: a body that begins with so many of them is something else, and is read no further; None: it never is.
        """
        self.output_started = False
        self._take = take
        self._read = read
        self._tries = tries  # None as soon as one is a result
        self._limit = max_line_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self._unread = 0

    def feed(self, data: bytes) -> None:
        """Take more of the results."""
        self.output_started = self.output_started or bool(data)
        if self._tries == 0:
            return
        first, *rest = data.split(b"\n")
        self._hold(first)
        for piece in rest:
            self._end_line()
            self._hold(piece)

    def finish(self) -> Usage:
        """Say that it cost nothing; a last line that has come whole counts without its end."""
        self._end_line()
        said = self._unread and self._tries is None
        return Usage(complete=True, note=f"{self._unread} results could not be read" if said else "")

    def _hold(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._limit:
            self._parts.append(piece)
        else:
            self._parts = []

    def _end_line(self) -> None:
        line, fits = b"".join(self._parts).strip(), self._size <= self._limit
        self._parts, self._size = [], 0
        if (not line and fits) or self._tries == 0:
            return
        try:
            result = self._read(line)
            if result is None:
                self._missed()
            else:
                self._tries = None
                self._take(result)
        except Exception:  # noqa: BLE001 - the answer must not suffer from its reader
            self._unread += 1
            _log.exception("a batch's result could not be accounted for")

    def _missed(self) -> None:
        self._unread += 1
        if self._tries is not None:
            self._tries -= 1


def read_result(line: bytes) -> BatchResult | None:
    """Read one line of an Anthropic batch's results; None for what is none."""
    try:
        read = _LINE.decode(line)
    except fields.UNREADABLE:
        return None
    custom_id = fields.text(fields.decode(read.custom_id), MAX_CUSTOM_ID)
    kind = fields.text(fields.decode(read.result.type)) if read.result is not None else ""
    if read.result is None or not custom_id or not kind:
        return None
    if kind == SUCCEEDED:
        usage = anthropic.read_body(bytes(read.result.message))
        return BatchResult(custom_id, kind, msgspec.structs.replace(usage, service_tier=TIER), len(line))
    return BatchResult(custom_id, kind, _without_answer(kind, read.result), len(line))


def _without_answer(kind: str, result: _Result) -> Usage:
    """What is said of a request that was not answered: it costs nothing."""
    told = fields.mapping(fields.decode(result.error)) if result.error else {}
    name, message = fields.error_of(told.get("error") or told)
    return Usage(service_tier=TIER, complete=True, error_class=name or kind, error_message=message)
