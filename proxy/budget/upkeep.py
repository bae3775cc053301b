"""Keeps the budgets going beside the calls: folds, documents, durability."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from data.budget_periods import SECOND_US
from data.errors import CountersError, CountersOutdated
from proxy.budget.budgets import Budgets
from proxy.budget.keeper import Keeper

FOLD_S: Final = 0.25
SYNC_S: Final = 1.0
KEEP_S: Final = 2.0
_FORGET_S: Final = 60
_log = logging.getLogger(__name__)


class Upkeep:
    """The background work of one proxy's budgets."""

    def __init__(self, budgets: Budgets, keeper: Keeper) -> None:
        self._budgets = budgets
        self._keeper = keeper
        self._one_at_a_time = asyncio.Lock()
        self._trouble = ""

    async def run(self) -> None:
        """Keep going until cancelled."""
        await asyncio.gather(self._folding(), self._keeping())

    async def refresh(self) -> None:
        """Take in what the store has now, without waiting for the next turn."""
        await self._keep(self._keeper.look_after)
        self._budgets.tick(now_us())

    async def _folding(self) -> None:
        forget_at = time.monotonic() + _FORGET_S
        while True:
            self._tick()
            if time.monotonic() >= forget_at:
                forget_at = time.monotonic() + _FORGET_S
                self._budgets.forget(now_us() - _FORGET_S * SECOND_US)
            await asyncio.sleep(FOLD_S)

    def _tick(self) -> None:
        try:
            self._budgets.tick(now_us())
        except Exception:  # noqa: BLE001 - the next turn tries again
            _log.exception("the budgets could not be brought up to date")

    async def _keeping(self) -> None:
        kept_at = 0.0
        while True:
            if time.monotonic() - kept_at >= KEEP_S:
                kept_at = time.monotonic()
                await self._keep(self._keeper.look_after)
            await self._keep(self._keeper.sync)
            await asyncio.sleep(SYNC_S)

    async def _keep(self, work: Callable[[], object]) -> None:
        async with self._one_at_a_time:
            try:
                await asyncio.to_thread(work)
            except CountersOutdated:
                pass  # the budgets changed under it: the next turn knows them
            except (CountersError, OSError) as error:
                self._told(str(error))
            except Exception:  # noqa: BLE001 - the next turn tries again
                _log.exception("the budgets could not be looked after")
            else:
                self._trouble = ""

    def _told(self, trouble: str) -> None:
        if not self._trouble:
            _log.error("the budgets cannot be looked after: %s", trouble)
        self._trouble = trouble


def now_us() -> int:
    """The present, for the shell's edges."""
    return time.time_ns() // 1000
