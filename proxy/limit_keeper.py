"""Carries what providers said of their limits to the store, for as long as it takes."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final
from typing import Protocol as Shape

from data.protocol import Change
from data.queries.limits import keeping
from proxy.limit_history import rows
from proxy.provider_limits import ProviderLimits

INTERVAL_S: Final = 1.0
RETRY_S: Final = 2.0
DEADLINE_S: Final = 5.0
_AT_ONCE: Final = 200
_log = logging.getLogger(__name__)


class LimitStore(Shape):
    """The part of `data.store.Store` that takes readings."""

    def transact(self, changes: Sequence[Change], *, deadline_s: float = ...) -> list[int]:
        """Make the changes, all or none."""
        ...


class LimitKeeper:
    """Keeps what `limits` reads, under the name of this proxy. `store` gives the store or raises StoreError.

    A reading that may have arrived is written again: its minute has one row of this proxy.
    """

    def __init__(self, limits: ProviderLimits, proxy: str, store: Callable[[], LimitStore]) -> None:
        self._limits = limits
        self._proxy = proxy
        self._store = store
        self._trouble = ""
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Keep what comes, until cancelled."""
        while True:
            await self.keep()
            await asyncio.sleep(RETRY_S if self._trouble else INTERVAL_S)

    async def flush(self, limit_s: float) -> None:
        """Keep what is there, for so long at most."""
        try:
            await asyncio.wait_for(self.keep(), limit_s)
        except TimeoutError:
            _log.warning("the last readings of providers' limits are lost: the store does not answer")

    async def keep(self) -> None:
        """Write what waits; where the store does not take it, it goes on waiting."""
        async with self._one_at_a_time:
            self._limits.read()
            readings = self._limits.history.waiting(_AT_ONCE)
            if not readings:
                return
            change = keeping(rows(self._proxy, readings))
            try:
                await asyncio.to_thread(lambda: self._store().transact([change], deadline_s=DEADLINE_S))
            except Exception as error:  # noqa: BLE001 - whatever is wrong, the next readings must not be lost for it
                self._failed(f"{type(error).__name__}: {error}")
                return
            self._trouble = ""
            self._limits.history.kept(readings)

    def _failed(self, why: str) -> None:
        if not self._trouble:
            _log.warning("what providers say of their limits waits for the store: %s", why)
        self._trouble = why
