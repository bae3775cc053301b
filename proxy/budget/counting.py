"""The counters' file as one proxy has it open: begun where the last proxy on its spool ended, and begun anew.

What calls in flight hold is held in memory, by the `Holdings` of the file that was open when they took it.
"""

import logging
from collections.abc import Callable
from typing import Final, Protocol

from data.budget_periods import NEVER
from data.counters import books, holds, slices
from data.counters.file import CounterFile
from data.counters.rows import BatchKey, Move
from data.errors import CountersError
from data.model import LedgerRecord
from proxy.budget.charging import of_records
from proxy.budget.holdings import Holdings, Records
from proxy.budget.keeper import Keeper
from proxy.budget.plans import Plans

_BATCH: Final = 1000
_log = logging.getLogger(__name__)


class Spool(Records, Protocol):
    """The part of `proxy.spool.Spool` that budgets use."""

    def keep_behind(self, floor: Callable[[], int]) -> None:
        """Keep the records behind `floor()`."""
        ...


class Counting:
    """What there is to count with: `file` and `holdings`, both None while the file cannot be used.

    Raises nothing: `trouble` says why it cannot be used, '' while it can.
    """

    def __init__(self, keeper: Keeper, spool: Spool) -> None:
        self.file: CounterFile | None = None
        self.holdings: Holdings | None = None
        self.trouble = ""
        self.keeper = keeper
        self.over = set[BatchKey]()  # batches whose holds are to be let go of
        self._spool = spool
        self._uncounted = Plans(())
        self._keeps_spool = True
        spool.keep_behind(self._floor)

    @property
    def plans(self) -> Plans:
        """The budgets that are switched on."""
        return self._uncounted if self.holdings is None else self.holdings.plans

    @property
    def why_unknown(self) -> str:
        """Why it may not be known what was spent of a budget."""
        return self.trouble or self.keeper.store_trouble or "the ledger is being read"

    def begin(self) -> None:
        """Open the file and count what the last proxy on this spool has left, however it ended."""
        try:
            file = self.keeper.open_file()
            try:
                self.holdings = _recovered(file, self._spool)
            except BaseException:
                file.close()
                raise
            self.file, self.trouble, self._keeps_spool = file, "", True
        except (CountersError, OSError) as error:
            self.fails(error)
            self._uncounted = Plans(self.keeper.local().plans)
            self._keeps_spool = bool(self._uncounted.all)

    def renew(self) -> None:
        """Begin anew with the file that is there now. What calls in flight hold is held in none of it."""
        self.let_go()
        self.begin()

    def let_go(self) -> None:
        """Close the file."""
        file, self.file, self.holdings = self.file, None, None
        if file is not None:
            file.close()

    def close(self, now_us: int) -> None:
        """Give back what no call holds, make all durable, and let go."""
        if self.holdings is not None and self.file is not None:
            try:
                self.holdings.give_all_back(now_us)
                self.file.sync()
                self.keeper.durable = self.holdings.folded
            except (CountersError, OSError) as error:
                self.fails(error)
        self.let_go()

    def end_batches(self) -> None:
        """Let go of the holds of batches that are over. Raises CountersError, and then the rest waits."""
        while self.over and self.file is not None:
            holds.end(self.file, batch := next(iter(self.over)))
            self.over.discard(batch)

    def fails(self, error: Exception) -> None:
        """Note why the file cannot be used."""
        if not self.trouble:
            _log.error("the budgets' counters cannot be used: %s", error)
        self.trouble = str(error)

    def _floor(self) -> int:
        """Up to which record the spool need not be kept for the counters' sake. Any thread may ask."""
        return self.keeper.durable if self._keeps_spool else NEVER


def _recovered(file: CounterFile, spool: Spool) -> Holdings:
    """Count what the last proxy on this spool has left, and free its slices."""
    folded = books.register(file, spool.spool_id, spool.written)
    holdings = Holdings(file, spool, folded)
    records, reached = list[LedgerRecord](), folded
    while True:
        first, more = spool.read(reached, _BATCH)
        if not more:
            break
        records += more
        reached = first + len(more) - 1
    charges = of_records(holdings.plans, records)
    slices.settle(file, Move(spool.spool_id, folded, reached), charges, (), holdings.generation)
    holdings.folded = reached
    return holdings
