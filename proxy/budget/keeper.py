"""What is done for the budgets beside the calls, in a thread of its own and with a connection of its own."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from data.budget_periods import SECOND_US, Rolling
from data.counters import books, holds
from data.counters.file import CounterFile
from data.counters.rows import Known
from data.errors import StoreError
from data.queries.budgets import Reader
from proxy.budget.compiling import Compiled, compiled
from proxy.budget.documents import LocalCopy, learn, refresh
from proxy.budget.plan import Plan
from proxy.budget.rebuild import count_from_ledger
from proxy.budget.siblings import Siblings

_SWEEP_S: Final = 5.0
_PRUNE_S: Final = 60.0
_CLOSE_S: Final = 2.0
#: Anthropic keeps a batch's results for 29 days.
_BATCHES_US: Final = 30 * 24 * 3600 * SECOND_US
_log = logging.getLogger(__name__)


class Store(Reader, Protocol):
    """The part of `data.connection.Connection` that budgets are read from."""

    def close(self) -> None:
        """Let go of it."""
        ...


class Keeper:
    """Keeps the documents, counts new budgets from the ledger, and tidies up. Any thread may use it."""

    def __init__(self, home: Path, spool_id: str, connect: Callable[[], Store]) -> None:
        self.store_trouble = ""
        self.durable = 0  # up to which record of its own spool the counters are on the disk
        self._path = home / "budgets.sqlite"
        self._copy = LocalCopy(home / "budgets.json")
        self._spools = home / "spool"
        self._spool_id = spool_id
        self._connect = connect
        self._store: Store | None = None
        self._file: CounterFile | None = None
        self._siblings = Siblings(self._spools, spool_id)
        self._swept_at = self._pruned_at = 0.0
        self._turn = threading.Lock()
        self._closing = False

    def open_file(self) -> CounterFile:
        """Open the counters, and make the documents known to a new file. Raises CountersError."""
        file = CounterFile.open(self._path)
        if not books.known(file).documents and (documents := self._copy.read()):
            learn(file, documents, 0)
        return file

    def local(self) -> Compiled:
        """The plans by the documents alone, for when there are no counters."""
        documents = tuple(self._copy.read())
        return compiled(Known(0, documents, {}, {}), Compiled())

    def sync(self) -> None:
        """Make the counters durable. Raises CountersError, OSError."""
        with self._working() as file:
            if file is not None:
                folded = books.folded(file).get(self._spool_id, 0)
                file.sync()
                self.durable = folded

    def look_after(self) -> None:
        """Do all that is to be done now. Raises CountersError, OSError; a store that is away is no error."""
        with self._working() as file:
            if file is None:
                return
            self._with_store(file)
            now = time.monotonic()
            if now - self._swept_at >= _SWEEP_S:
                self._swept_at = now
                self._siblings.sweep(file, time.time_ns() // 1000)
            if now - self._pruned_at >= _PRUNE_S:
                self._pruned_at = now
                self._prune(file)

    def close(self) -> None:
        """Let go of the store and the file; what is under way in another thread does so when it ends."""
        self._closing = True
        if self._turn.acquire(timeout=_CLOSE_S):
            try:
                self._let_go()
            finally:
                self._turn.release()

    @contextmanager
    def _working(self) -> Iterator[CounterFile | None]:
        """One thread's turn with the file; None where all is over."""
        with self._turn:
            try:
                yield None if self._closing else self._opened()
            finally:
                if self._closing:
                    self._let_go()

    def _let_go(self) -> None:
        self._forget_store()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> CounterFile:
        if self._file is not None and self._file.replaced:
            self._file.close()
            self._file = None
        if self._file is None:
            self._file = self.open_file()
        return self._file

    def _with_store(self, file: CounterFile) -> None:
        try:
            self._store = self._store or self._connect()
            refresh(file, self._copy, self._store, time.time_ns() // 1000)
            for plan in compiled(books.known(file), Compiled()).plans:
                if plan.number is None:
                    self._count(file, plan, self._store)
        except StoreError as error:
            if not self.store_trouble:
                _log.warning("the store is away, the budgets stay as they are known: %s", error)
            self.store_trouble = f"{type(error).__name__}: {error}"
            self._forget_store()
        else:
            self.store_trouble = ""

    def _count(self, file: CounterFile, plan: Plan, store: Reader) -> None:
        began = time.monotonic()
        if count_from_ledger(file, plan, store, self._spools, time.time_ns() // 1000):
            seconds = round(time.monotonic() - began, 3)
            _log.info("a budget is counted from now on", extra={"budget": plan.budget.name, "seconds": seconds})

    def _prune(self, file: CounterFile) -> None:
        now_us = time.time_ns() // 1000
        for batch in holds.end_older(file, now_us - _BATCHES_US):
            _log.warning("nothing is held any more for a batch whose results nobody has read", extra=batch._asdict())
        for plan in compiled(books.known(file), Compiled()).plans:
            if plan.number is not None:
                books.prune(file, plan.number, kept_from(plan, now_us))

    def _forget_store(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()


def kept_from(plan: Plan, now_us: int) -> int:
    """The oldest bucket that is kept: one period more than counts, for a clock that goes back."""
    oldest = plan.schedule.counts(now_us).start_us
    if isinstance(plan.schedule, Rolling):
        return oldest - plan.schedule.length_us
    return plan.schedule.counts(oldest - SECOND_US).start_us if oldest > SECOND_US else 0
