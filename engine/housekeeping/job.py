"""What a regular job is, and how one went."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

#: One that is run often is allowed the first, one that is seldom run the second.
_LEAST, _MOST = timedelta(minutes=10), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Job:
    """Something done every so often. `run` returns what came of it in one line; what it raises is its failure.

    `rehearse` says what `run` would do, and does nothing; None where that says nothing. `within`: a run that takes
    longer hangs, and people are told; by default `every`, but ten minutes at least and an hour at most.
    """

    name: str
    title: str
    every: timedelta
    run: Callable[[datetime], Awaitable[str]]
    rehearse: Callable[[datetime], Awaitable[str]] | None = None
    within: timedelta | None = None

    @property
    def hangs_after(self) -> timedelta:
        """How long a run may take before people are told."""
        return min(max(self.every, _LEAST), _MOST) if self.within is None else self.within


@dataclass(frozen=True, slots=True)
class Run:
    """How a job went: `result` is its one line, or why it failed; `elsewhere`: for what is told by itself."""

    started_at: datetime
    duration_ms: float
    ok: bool
    result: str
    elsewhere: bool = False


@dataclass(slots=True)
class Running:
    """A run that has not ended: since when, and since when (`begun`, s) by a clock that nobody sets.

    `told`: people have been told that it hangs; `ended`: it is only to be written down any more.
    """

    job: Job
    started_at: datetime
    begun: float
    told: bool = False
    ended: bool = False
