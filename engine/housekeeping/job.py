"""What a regular job is, and how one went."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Job:
    """Something done every so often. `run` returns what came of it in one line; what it raises is its failure.

    `rehearse` says what `run` would do, and does nothing; None where that says nothing.
    """

    name: str
    title: str
    every: timedelta
    run: Callable[[datetime], Awaitable[str]]
    rehearse: Callable[[datetime], Awaitable[str]] | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """How a job went: `result` is its one line, or why it failed; `elsewhere`: for what is told by itself."""

    started_at: datetime
    duration_ms: float
    ok: bool
    result: str
    elsewhere: bool = False
