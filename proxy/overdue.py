"""A deadline that may be put off again and again, which costs next to nothing."""

import asyncio
from types import TracebackType
from typing import Final, Self

#: Event loops round to whole milliseconds, and may call a bit early.
_EARLY_S: Final = 0.001


class Overdue:
    """Ends what its task does inside with TimeoutError at a time that may be changed as often as one likes.

    As `asyncio.timeout`, whose every change makes a new timer: here the one that is running looks at its end whether
    the time has been put off.
    """

    __slots__ = ("_at", "_cancelling", "_fired", "_loop", "_task", "_timer")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._fired = False

    def now(self) -> float:
        """Return the event loop's time, in seconds."""
        return self._loop.time()

    def set(self, at: float) -> None:
        """End it at `at`, in the event loop's time, instead."""
        self._at = at
        if self._timer is None:
            self._start(at)
        elif at < self._timer.when():
            self._timer.cancel()
            self._start(at)

    def __enter__(self) -> Self:
        """Begin what may be ended."""
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task is not None else 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Raise TimeoutError where the deadline has ended it."""
        if self._timer is not None:
            self._timer.cancel()
        task, self._task = self._task, None
        if not self._fired or task is None:
            return
        # somebody else's cancellation stays one
        if task.uncancel() <= self._cancelling and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from error

    def _start(self, at: float) -> None:
        self._timer = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        if self._task is None:
            return
        if self._at - self._loop.time() > _EARLY_S:
            self._start(self._at)
            return
        self._fired = True
        self._task.cancel()
