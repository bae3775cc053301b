"""Whose evaluation is under way: of one cadence there is one at a time, however it came about.

Two at once that share a rule would write the same rows; the one that came too late would leave out that rule alone, and
evaluate it a moment after those that it keeps quiet, or that keep it quiet.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager


class Turns:
    """The cadences, in seconds, that are being evaluated. For one event loop's thread."""

    def __init__(self) -> None:
        self._under_way: dict[int, object] = {}
        self._ended = asyncio.Event()

    def under_way(self, seconds: int) -> bool:
        """Whether the rules of a cadence are being evaluated."""
        return seconds in self._under_way

    @asynccontextmanager
    async def taking(self, cadences: Collection[int]) -> AsyncIterator[None]:
        """While the context is open these are under way; it waits for those that are."""
        while any(map(self.under_way, cadences)):
            self._ended.clear()
            await self._ended.wait()
        mine = object()
        self._under_way.update(dict.fromkeys(cadences, mine))
        try:
            yield
        finally:
            for seconds in cadences:
                if self._under_way.get(seconds) is mine:
                    del self._under_way[seconds]
            self._ended.set()

    def give_up(self) -> None:
        """What is under way stands still: nobody waits for it any longer."""
        self._under_way.clear()
        self._ended.set()
