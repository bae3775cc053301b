"""Callers that reserve, spend and settle with real budgets, a real spool and a real file; a provider that adds up."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from data.budget_periods import NEVER, Span
from data.budgets import Budget, to_json
from data.config import BudgetsConfig
from data.counters import books
from data.counters.rows import Document
from data.errors import StoreUnavailable
from data.model import LedgerRecord, RequestStart
from data.rates import UNPRICED
from proxy.budget.budgets import Budgets
from proxy.budget.documents import LocalCopy, learn
from proxy.budget.keeper import Keeper
from proxy.budget.reservation import Refusal, Reservation
from proxy.recovery import interrupted
from proxy.spool import Spool
from tests.proxy.spool_samples import ended, started

#: A Tuesday's noon, in microseconds.
NOON = 1_764_072_000_000_000
SECOND = 1_000_000
DOLLAR = 1_000_000_000
SPOOL = "proxy-1"
#: Every bucket.
ALL = Span(0, NEVER)


def away() -> Any:
    raise StoreUnavailable("no store answers")


def budget(name: str = "all", **more: Any) -> Budget:
    return Budget(**{"name": name, "amount_usd": 1, "period": "day", **more})


def no_price(**_asked: Any) -> Any:
    return UNPRICED


def ending(start: RequestStart) -> LedgerRecord:
    return interrupted(start, start.started_at + SECOND, no_price)


def usd(nano: int) -> Decimal:
    return Decimal(nano).scaleb(-9)


def documents(budgets: Sequence[Budget]) -> list[Document]:
    return [Document(each.name, 1, to_json(each)) for each in budgets]


def begin_counting(home: Path, budgets: Sequence[Budget]) -> None:
    """Make budgets known on a home, counted from nothing."""
    keeper = Keeper(home, "nobody", away)
    file = keeper.open_file()
    learn(file, documents(budgets), 0)
    LocalCopy(home / "budgets.json").keep(documents(budgets))
    for each in budgets:
        assert books.install(file, (each.name, each.shape), [], books.folded(file)) is not None
    file.close()


class Proxy:
    """A proxy's part towards its budgets."""

    def __init__(self, home: Path, name: str = SPOOL, **settings: Any) -> None:
        self.home = home
        self.spool = Spool.open(home / "spool" / name, now_us=NOON, estimate=ending, segment_bytes=64_000)
        self.keeper = Keeper(home, self.spool.spool_id, away)
        self.budgets = Budgets.open(self.keeper, self.spool, BudgetsConfig(**settings))

    def reserve(self, start: RequestStart, worst: int | None, now_us: int = NOON) -> Reservation | Refusal:
        return self.budgets.reserve(start, worst, now_us / SECOND)

    def begin(self, start: RequestStart, held: Reservation) -> None:
        self.spool.start(replace(start, reserved_usd=usd(held.nano)))

    def end(self, held: Reservation, record: LedgerRecord) -> None:
        self.budgets.settle(held, record, self.spool.end(record))

    def spend(
        self, nano: int, worst: int | None = None, now_us: int = NOON, *, model: str = "", **who: Any
    ) -> Reservation | Refusal:
        """One whole call, if it is let through; `model` is the one that answers."""
        start = started(**who)
        held = self.reserve(start, worst or nano, now_us)
        if isinstance(held, Reservation):
            self.begin(start, held)
            self.end(held, ended(start.id, cost_usd=usd(nano), ended_at=now_us, model=model, **who))
        return held

    def close(self, now_us: int = NOON) -> None:
        self.budgets.close(now_us)
        self.keeper.close()
        self.spool.close()

    def die(self) -> None:
        """End as a killed process does: nothing is folded, given back or written any more."""
        if self.budgets.file is not None:
            self.budgets.file._connection.close()
        self.keeper.close()
        self.spool.close()


@contextmanager
def proxy(home: Path, name: str = SPOOL, **settings: Any) -> Iterator[Proxy]:
    running = Proxy(home, name, **settings)
    try:
        yield running
    finally:
        running.close()


class Provider:
    """Adds up what it was asked for, at the moment it is asked."""

    def __init__(self) -> None:
        self.charged = 0
        self.calls = 0

    def serve(self, cost: int) -> None:
        self.charged += cost
        self.calls += 1


class Caller:
    """One of many: calls again and again until it is told that the money is gone."""

    def __init__(self, chance: random.Random, worst: tuple[int, int]) -> None:
        self.gone = False
        self.refused = 0
        self._chance = chance
        self._range = worst
        self._call: tuple[RequestStart, Reservation, int] | None = None
        self._worst = chance.randint(*worst)

    def step(self, at: Proxy, provider: Provider, now_us: int) -> None:
        """Begin a call, or end the one that is in flight."""
        if self._call is not None:
            start, held, cost = self._call
            at.end(held, ended(start.id, cost_usd=usd(cost), ended_at=now_us))
            self._call = None
            return
        start = started()
        held = at.reserve(start, self._worst, now_us)
        if isinstance(held, Refusal):
            self.refused += 1
            self.gone = not held.should_retry
            return
        at.begin(start, held)
        cost = self._chance.randint(0, self._worst)
        provider.serve(cost)
        self._call = start, held, cost
        self._worst = self._chance.randint(*self._range)
