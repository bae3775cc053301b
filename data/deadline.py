"""Ends what runs too long: one thread watches every running call and interrupts its cursor.

A call ends early because its deadline passed, its client went away, the store shuts down, or because the process grew
too much while it ran: DuckDB's memory limit does not count the text and lists that functions make.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

import duckdb

_TICK_S = 0.05


class Ended(StrEnum):
    """Why a call was interrupted."""

    DEADLINE = "its time limit"
    CANCELLED = "its client went away"
    SHUTDOWN = "the store shuts down"
    MEMORY = "it takes too much memory"


class Call:
    """One running call: its cursor, its end on the monotonic clock, its client, and how large the process may grow."""

    __slots__ = ("_cancelled", "_ceiling", "_cursor", "_until", "ended")

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        until: float,
        cancelled: Callable[[], bool],
        ceiling: float,
    ) -> None:
        self._cursor = cursor
        self._until = until
        self._cancelled = cancelled
        self._ceiling = ceiling
        self.ended: Ended | None = None

    def end_if_due(self, now: float, resident: int) -> None:
        """Interrupt the call when it is due, again at each tick: DuckDB forgets an interrupt between two statements."""
        if self.ended is None and now >= self._until:
            self.ended = Ended.DEADLINE
        if self.ended is None and resident > self._ceiling:
            self.ended = Ended.MEMORY
        if self.ended is None and self._cancelled():
            self.ended = Ended.CANCELLED
        if self.ended is not None:
            self._cursor.interrupt()


class Watch:
    """The running calls. `stop` ends the thread."""

    def __init__(self) -> None:
        self._calls: set[Call] = set()
        self._changed = threading.Condition()
        self._ending = False
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
        self._thread.start()

    def start(
        self,
        cursor: duckdb.DuckDBPyConnection,
        deadline_s: float,
        cancelled: Callable[[], bool],
        growth: float = math.inf,
    ) -> Call:
        """Watch a call until `finish`. After `finish`, neither `cursor` nor `cancelled` is touched again.

        `growth`: how many bytes the process may grow while the call runs.
        """
        call = Call(cursor, time.monotonic() + deadline_s, cancelled, resident_bytes() + growth)
        with self._changed:
            if self._ending:
                call.ended = Ended.SHUTDOWN
            self._calls.add(call)
            self._changed.notify()
        return call

    def finish(self, call: Call) -> None:
        """Stop watching a call. Doing so twice is harmless."""
        with self._changed:
            self._calls.discard(call)

    @contextmanager
    def watching(
        self,
        cursor: duckdb.DuckDBPyConnection,
        deadline_s: float,
        cancelled: Callable[[], bool],
    ) -> Iterator[Call]:
        """Watch a call for the length of a block."""
        call = self.start(cursor, deadline_s, cancelled)
        try:
            yield call
        finally:
            self.finish(call)

    def end_all(self) -> None:
        """Interrupt every running call, and every later one, because the store shuts down."""
        with self._changed:
            self._ending = True
            for call in self._calls:
                call.ended = call.ended or Ended.SHUTDOWN
            self._changed.notify()

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._calls or self._stopped)
                if self._stopped:
                    return
                now, resident = time.monotonic(), resident_bytes()
                for call in tuple(self._calls):
                    call.end_if_due(now, resident)
                self._changed.wait_for(lambda: self._stopped, timeout=_TICK_S)


def resident_bytes() -> int:
    """The memory this process holds; 0 where the system does not say (it is read from Linux's /proc)."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - twenty times a second: no detours
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
