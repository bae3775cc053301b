"""A line of JSON a call, where that is switched on: made at once, written together by a thread."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final, TextIO

import msgspec

from data.model import LedgerRecord
from proxy.window import tokens_of

#: Lines that wait to be written; what a blocked reader leaves no room for is left out, and counted.
MAX_WAITING: Final = 20_000
_INTERVAL_S: Final = 0.2
_encoder = msgspec.json.Encoder(decimal_format="number")
_COPIED: Final = (
    "request_id",
    "id",
    "attempt",
    "cause",
    "endpoint",
    "provider",
    "credential",
    "model_requested",
    "model",
    "stream",
    "status",
    "outcome",
    "error_class",
    "key",
    "project",
    "session",
    "output_tokens",
    "cost_usd",
    "ttft_ms",
    "request_bytes",
    "response_bytes",
)


class AccessLog:
    """Writes to `stream`. Use it from the event loop."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[bytes] = []
        self._left_out = 0

    def ended(self, record: LedgerRecord) -> None:
        """An attempt at a provider ended."""
        line = _head("call", record.ended_at / 1e6)
        for name in _COPIED:
            line[name] = getattr(record, name)
        line["input_tokens"] = tokens_of(record) - record.output_tokens
        line["duration_ms"] = round(record.duration_ms, 3)
        line["overhead_ms"] = round(record.overhead_ms, 3)
        self._add(line)

    def refused(self, endpoint: str, status: int, code: str, *, request_id: str = "", key: str = "") -> None:
        """The proxy itself refused a call; `code` says why."""
        line = _head("refused", time.time())
        self._add(line | {"request_id": request_id, "endpoint": endpoint, "status": status, "code": code, "key": key})

    async def run(self) -> None:
        """Write until cancelled; then what still waits."""
        try:
            while True:
                await asyncio.sleep(_INTERVAL_S)
                if self._lines:
                    await asyncio.to_thread(self._write, *self._taken())
        finally:
            self._write(*self._taken())

    def _add(self, line: dict[str, object]) -> None:
        if len(self._lines) < MAX_WAITING:
            self._lines.append(_encoder.encode(line))
        else:
            self._left_out += 1

    def _taken(self) -> tuple[list[bytes], int]:
        taken = self._lines, self._left_out
        self._lines, self._left_out = [], 0
        return taken

    def _write(self, lines: list[bytes], left_out: int) -> None:
        if left_out:
            lines.append(_encoder.encode(_head(f"{left_out} lines were left out", time.time())))
        if lines:
            self._stream.write((b"\n".join(lines) + b"\n").decode())
            self._stream.flush()


def _head(message: str, at_s: float) -> dict[str, object]:
    at = datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")
    return {"time": at, "level": "info", "logger": "proxy.access", "message": message}
