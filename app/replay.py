"""Sends a recorded trace through the proxy to the simulated provider, which answers with the trace's token counts.

The format is the Azure LLM inference trace's: a CSV with TIMESTAMP, ContextTokens and GeneratedTokens.
"""

import asyncio
import csv
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_TIMES = ("timestamp", "time", "arrivaltimestamp")
_INPUTS = ("contexttokens", "inputtokens", "prompttokens")
_OUTPUTS = ("generatedtokens", "outputtokens", "completiontokens")
_USER_AGENT = "claude-proxy-replay"
_PROMPT = "Replayed from a trace: the simulated provider answers with its token counts."
_RETRY_S = (0.25, 0.5, 1.0, 2.0, 4.0)


class TraceError(ValueError):
    """The trace cannot be replayed; the message says which line is wrong, or which setting."""


@dataclass(frozen=True, slots=True)
class TraceCall:
    """One row: its number from 1 in the order of time, seconds after the first, input and output tokens."""

    row: int
    at_s: float
    input: int
    output: int


@dataclass(slots=True)
class ReplayResult:
    """How a replay went. Tokens are what the answers said; `resent` counts repeats of calls that reached nobody.

    `first_failure` says why the first call that failed did.
    """

    sent: int = 0
    answered: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    resent: int = 0
    first_failure: str = ""

    def fail(self, why: str) -> None:
        """Count a call that failed."""
        self.failed += 1
        self.first_failure = self.first_failure or why


Progress = Callable[[ReplayResult], None]


async def outside_providers(url: str, api_token: str = "") -> list[str]:
    """Addresses beyond this machine that the proxy at `url` would call; raises TraceError when it does not say."""
    try:
        status, said = await _providers(url.rstrip("/"), api_token)
        if status != 401:
            addresses = [item["base_url"] for item in said["items"]]
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
        raise TraceError(
            f"no proxy answers at {url} ({type(error).__name__}); start one with claude-proxy up"
        ) from error
    if status == 401:
        raise TraceError(f"the proxy at {url} wants its API token: set proxy.api_token to the one it has")
    return [address for address in addresses if urlsplit(address).hostname not in LOOPBACK]


async def _providers(url: str, api_token: str) -> tuple[int, Any]:
    """Status and body of what the proxy says of its providers."""
    shown = {"Authorization": f"Bearer {api_token}"} if api_token else {}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
        session.get(f"{url}/api/system/providers", headers=shown) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


def speed_of(text: str) -> float | None:
    """A speed as people type it: times real time, or `max` (None) for as fast as it goes. Raises TraceError."""
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed < math.inf:
        raise TraceError(f"speed {text!r} is not a number above 0; for as fast as it goes say max")
    return speed


async def replay(
    trace: Path,
    *,
    url: str,
    speed: float | None = None,
    model: str = "claude-sonnet-5-5",
    concurrency: int = 64,
    progress: Progress | None = None,
    retries: int = 0,
    api_key: str = "replay",
    timeout_s: float = 600.0,
) -> ReplayResult:
    """Send one call a row to the proxy at `url`, at `speed` times real time (None: as fast as it goes).

    Models named claude-* are asked by Anthropic's protocol, others by OpenAI's. A call that fails counts as failed and
    is not sent again, but for those that reached nobody (connection refused): these are sent `retries` times more.
    Each call is tagged with its row (`row=17`), so that the ledger can be held against the trace line by line.
    `progress` hears of every finished call. Raises TraceError when the file is not a trace, before anything is sent.
    """
    calls = read(trace)
    runner = _Replay(_dialect(model, api_key), speed, retries, progress)
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    base = url.rstrip("/") + "/"
    waiting = iter(calls)
    async with (
        aiohttp.ClientSession(base, connector=connector, timeout=timeout) as session,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(min(max(1, concurrency), len(calls))):
            group.create_task(runner.work(session, waiting))
    return runner.finished()


def read(trace: Path) -> list[TraceCall]:
    """The rows of a trace in the order of time. Raises TraceError with the number of the first bad line."""
    try:
        with trace.open(encoding="utf-8-sig", newline="") as file:
            rows = list(_rows(file, trace.name))
    except OSError as error:
        raise TraceError(f"{trace} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{trace} is not a CSV in UTF-8: {error}") from error
    if not rows:
        raise TraceError(f"{trace} has no rows")
    rows.sort(key=lambda row: row[0])
    first = rows[0][0]
    return [TraceCall(n, at - first, tokens_in, tokens_out) for n, (at, tokens_in, tokens_out) in enumerate(rows, 1)]


def _rows(lines: Iterator[str], name: str) -> Iterator[tuple[float, int, int]]:
    reader = csv.reader(lines)
    places = _places(next(reader, []), name)
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        try:
            at, tokens_in, tokens_out = (row[place].strip() for place in places)
            yield _seconds(at), _count(tokens_in), _count(tokens_out)
        except IndexError:
            raise TraceError(f"{name}, line {reader.line_num}: {len(row)} columns are too few") from None
        except ValueError as error:
            raise TraceError(f"{name}, line {reader.line_num}: {error}") from error


def _places(header: Sequence[str], name: str) -> tuple[int, int, int]:
    plain = [cell.lower().replace("_", "").replace(" ", "") for cell in header]

    def place(known: tuple[str, ...]) -> int:
        found = [index for index, cell in enumerate(plain) if cell in known]
        if not found:
            wanted = "TIMESTAMP, ContextTokens and GeneratedTokens"
            raise TraceError(f"{name}, line 1: the header must name {wanted}, not {','.join(header)!r}")
        return found[0]

    return place(_TIMES), place(_INPUTS), place(_OUTPUTS)


def _seconds(text: str) -> float:
    """Seconds since the epoch, of a date and time or of a number of seconds."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        try:
            return _finite(float(text))
        except ValueError:
            raise ValueError(f"{text!r} is neither a time nor a number of seconds") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not a number of tokens")
    return int(text)


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How a protocol is asked, and where its answers say their counts."""

    path: str
    body: Callable[[TraceCall], dict[str, Any]]
    headers: Mapping[str, str]
    counts: tuple[str, str]


def _dialect(model: str, api_key: str) -> _Dialect:
    messages = [{"role": "user", "content": _PROMPT}]
    if model.startswith("claude"):
        return _Dialect(
            "v1/messages",
            lambda call: {"model": model, "max_tokens": max(1, call.output), "messages": messages},
            {"x-api-key": api_key, "anthropic-version": "2023-06-01", "user-agent": _USER_AGENT},
            ("input_tokens", "output_tokens"),
        )
    return _Dialect(
        "v1/chat/completions",
        lambda call: {"model": model, "max_completion_tokens": max(1, call.output), "messages": messages},
        {"authorization": f"Bearer {api_key}", "user-agent": _USER_AGENT},
        ("prompt_tokens", "completion_tokens"),
    )


class _Replay:
    """One run: its workers share the calls that wait and the result."""

    def __init__(self, dialect: _Dialect, speed: float | None, retries: int, progress: Progress | None) -> None:
        self._dialect = dialect
        self._speed = speed
        self._retries = retries
        self._progress = progress
        self._result = ReplayResult()
        self._began = time.monotonic()

    async def work(self, session: aiohttp.ClientSession, waiting: Iterator[TraceCall]) -> None:
        """Send the next call that waits, when it is due, until none is left."""
        for call in waiting:
            if self._speed is not None:
                await asyncio.sleep(self._began + call.at_s / self._speed - time.monotonic())
            self._result.sent += 1
            await self._send(session, call)
            if self._progress:
                self._progress(self._result)

    def finished(self) -> ReplayResult:
        """The result, with the time it took."""
        self._result.seconds = time.monotonic() - self._began
        return self._result

    async def _send(self, session: aiohttp.ClientSession, call: TraceCall) -> None:
        for attempt in range(self._retries + 1):
            try:
                await self._ask(session, call)
            except aiohttp.ClientConnectorError as error:
                # nothing was sent: the one failure after which sending again cannot count a call twice
                if attempt < self._retries:
                    self._result.resent += 1
                    await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                    continue
                self._result.fail(str(error))
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
                self._result.fail(f"{type(error).__name__}: {error}")
            return

    async def _ask(self, session: aiohttp.ClientSession, call: TraceCall) -> None:
        """One call; raises what aiohttp raises, or ValueError or KeyError for an answer without its counts."""
        dialect = self._dialect
        # as fast as it goes: the provider must not take its usual time for an answer either
        times = ",duration_ms=0" if self._speed is None else ""
        headers = {
            **dialect.headers,
            "x-simulate": f"input={call.input},output={call.output}{times}",
            "x-claude-proxy-tags": f"row={call.row}",
        }
        async with session.post(dialect.path, json=dialect.body(call), headers=headers) as answer:
            if answer.status != 200:
                self._result.fail(f"status {answer.status}: {(await answer.text())[:200]}")
                return
            usage = (await answer.json())["usage"]
        tokens_in, tokens_out = (int(usage[name]) for name in dialect.counts)
        self._result.answered += 1
        self._result.input_tokens += tokens_in
        self._result.output_tokens += tokens_out
