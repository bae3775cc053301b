"""Background tasks that are kept, named, logged when they fail, and awaited at the end."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Tasks:
    """The tasks of one program. Not thread-safe: use it from the event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run `work` in the background; a failure is logged with `name`."""
        task = asyncio.create_task(work, name=name)  # noqa: TID251 - the one place where tasks are made
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def stop(self) -> None:
        """Cancel what still runs and wait until all of it has ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def finish(self, within_s: float) -> None:
        """Wait until all of it has ended by itself, but no longer than that; then cancel what still runs."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        await self.stop()

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("task %s failed", task.get_name(), exc_info=error)
