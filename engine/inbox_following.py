"""Messages of the inbox that others put there: another worker, or another program. Followed while somebody listens."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from data.errors import StoreError
from data.queries import inbox
from data.store import Store
from data.tasks import Tasks
from engine.inbox import Hub, shown

#: How often the store is looked at; what this worker itself writes is told without that.
_LOOK_S: Final = 0.5
_log = logging.getLogger(__name__)


class Following:
    """One worker's look at the inbox, on behalf of all of its listeners. For the event loop's thread only."""

    def __init__(self, hub: Hub, store: Callable[[], Store], *, look_s: float = _LOOK_S) -> None:
        """`store` raises StoreError while there is none."""
        self._hub, self._store, self._look_s = hub, store, look_s
        self._listeners = 0
        self._beginning = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None
        self._posted_at: datetime | None = None

    @asynccontextmanager
    async def listening(self, tasks: Tasks) -> AsyncIterator[asyncio.Queue[dict[str, Any]]]:
        """A queue of what comes while the context is open, whoever wrote it; raises StoreError.

        What was there before is not told: it can be read from the store once the context is open, and nothing falls
        between the two.
        """
        self._listeners += 1
        try:
            with self._hub.listening() as queue:
                async with self._beginning:
                    await self._begin(tasks)
                yield queue
        finally:
            self._listeners -= 1
            if not self._listeners and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def _begin(self, tasks: Tasks) -> None:
        if self._looking is not None and not self._looking.done():
            return
        newest = await asyncio.to_thread(inbox.newest, self._store())
        self._posted_at = newest.posted_at
        self._hub.heard_read(newest.read_at)
        self._looking = tasks.start(self._follow(), name="follow the inbox")

    async def _follow(self) -> None:
        """Look until cancelled; while the store is away there is nothing to be told."""
        away = False
        while True:
            await asyncio.sleep(self._look_s)
            try:
                await self._look()
            except StoreError as error:
                if not away:
                    _log.warning("the inbox is not followed while the store is away: %s", error)
                away = True
            else:
                away = False

    async def _look(self) -> None:
        newest = await asyncio.to_thread(inbox.newest, self._store())
        if newest.posted_at is not None and newest.posted_at != self._posted_at:
            found = await asyncio.to_thread(inbox.posted, self._store(), self._posted_at, newest.posted_at)
            self._posted_at = newest.posted_at
            for row in found:
                shown(self._hub, row)
        if self._hub.heard_read(newest.read_at):
            unread = await asyncio.to_thread(inbox.unread, self._store())
            self._hub.publish({"type": "unread", "unread": unread})
