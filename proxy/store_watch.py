"""Looks whether the store answers, so that health says so also while nothing is being shipped."""

import asyncio
from collections.abc import Callable
from typing import Protocol as Shape

INTERVAL_S = 2.0


class Pinged(Shape):
    """The part of `data.store.Store` that says whether it is there."""

    def ping(self) -> object:
        """Return its status. Raises StoreError."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class StoreWatch:
    """Pings the store. `connect` gives it, or raises StoreError."""

    def __init__(self, connect: Callable[[], Pinged], *, interval_s: float = INTERVAL_S) -> None:
        self.trouble = ""  # '' while the store answers, and until it was asked first
        self._connect = connect
        self._interval_s = interval_s
        self._store: Pinged | None = None

    async def run(self) -> None:
        """Ping until cancelled."""
        while True:
            self.trouble = await asyncio.to_thread(self._ping)
            await asyncio.sleep(self._interval_s)

    def close(self) -> None:
        """Let go of the store."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _ping(self) -> str:
        try:
            if self._store is None:
                self._store = self._connect()
            self._store.ping()
        except Exception as error:  # noqa: BLE001 - whatever it is, the store did not answer
            self.close()
            return f"{type(error).__name__}: {error}"
        return ""
