"""Blocking work of others' code in a thread of its own, which may hang without holding anything else up."""

import asyncio
import contextvars
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class Crowded(Exception):
    """Too many threads of the same kind still hang."""


class OwnThreads:
    """Runs each call in a new thread; at most `each` a key at the same time, those that nobody waits for included.

    A pool would be joined when the program ends, and one hanging receiver would take all of its threads.
    """

    def __init__(self, each: int) -> None:
        self._each = each
        self._busy: Counter[str] = Counter()
        self._lock = threading.Lock()

    async def run(self, key: str, work: Callable[[], T]) -> T:
        """The result of `work`; raises Crowded, or what it raises. Cancelling waits no longer; the thread goes on."""
        self._enter(key)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()

        def body() -> None:
            try:
                made = context.run(work)
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits
                self._leave(key)
                _tell(loop, answer, _failing(error))
            else:
                self._leave(key)
                _tell(loop, answer, lambda: answer.set_result(made))

        def _failing(error: BaseException) -> Callable[[], None]:
            return lambda: answer.set_exception(error)

        threading.Thread(target=body, name="others' code", daemon=True).start()
        return await answer

    def _enter(self, key: str) -> None:
        with self._lock:
            if self._busy[key] >= self._each:
                raise Crowded(f"{self._each} earlier calls still hang")
            self._busy[key] += 1

    def _leave(self, key: str) -> None:
        with self._lock:
            self._busy[key] -= 1
            if not self._busy[key]:
                del self._busy[key]


def _tell(loop: asyncio.AbstractEventLoop, answer: "asyncio.Future[T]", settle: Callable[[], None]) -> None:
    def settled() -> None:
        if not answer.done():
            settle()

    with suppress(RuntimeError):  # the loop has ended: nobody waits
        loop.call_soon_threadsafe(settled)
