"""Whether work comes further: what is under way, and how long each piece of it has stood still."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count


class Progress:
    """What is under way, each with a number that changes whenever it has come further. Thread-safe."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._marks: dict[str, int] = {}
        self._lock = threading.Lock()

    @contextmanager
    def under_way(self, work: str) -> Iterator[None]:
        """Work, while the context is open."""
        with self._lock:
            self._marks[work] = next(self._numbers)
        try:
            yield
        finally:
            with self._lock:
                self._marks.pop(work, None)

    def further(self, work: str) -> None:
        """Note that work has come further; of what is not under way, nothing is noted."""
        with self._lock:
            if work in self._marks:
                self._marks[work] = next(self._numbers)

    def marks(self) -> dict[str, int]:
        """The present number of all that is under way."""
        with self._lock:
            return dict(self._marks)


@dataclass(frozen=True, slots=True)
class Still:
    """For how long, in seconds watched, a piece of work has not come beyond a mark."""

    mark: int
    seconds: float = 0.0


def watched_on(before: Mapping[str, Still], marks: Mapping[str, int], seconds: float) -> dict[str, Still]:
    """How long each piece of work stands still, `seconds` after it was looked at before."""
    found = {}
    for work, mark in marks.items():
        known = before.get(work, Still(0))
        found[work] = Still(mark, known.seconds + seconds if known.mark == mark else 0.0)
    return found
