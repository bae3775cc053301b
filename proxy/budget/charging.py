"""What records add to which counters. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from data.budget_scope import values, who_asked, who_of_sum
from data.counters.rows import Charge
from data.model import LedgerRecord, RequestStart
from proxy.budget.money import MOST_NANO, counted
from proxy.budget.plan import Counter, Plan
from proxy.budget.plans import Plans


class Charges:
    """Sums by counter and bucket."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, str, int], int] = {}

    def add(self, number: int, value: str, bucket: int, nano: int) -> None:
        """Add to one counter's bucket."""
        key = (number, value, bucket)
        self._sums[key] = self._sums.get(key, 0) + nano

    def all(self) -> list[Charge]:
        """The sums that are any."""
        return [Charge(*key, nano) for key, nano in self._sums.items() if nano]


def of_records(plans: Plans, records: Iterable[LedgerRecord]) -> list[Charge]:
    """What records add to all budgets that are counted."""
    charges = Charges()
    for record in records:
        nano = counted(record)
        for counter in plans.asked(record):
            bucket = counter.plan.schedule.bucket(record.ended_at).start_us
            charges.add(number_of(counter), counter.value, bucket, nano)
    return charges.all()


def of_starts(plans: Plans, starts: Iterable[RequestStart]) -> list[Charge]:
    """What calls hold that were begun by a proxy that is gone."""
    charges = Charges()
    for start in starts:
        nano = held(start)
        for counter in plans.asking(start).counters:
            charges.add(number_of(counter), counter.value, 0, nano)
    return charges.all()


def held(start: RequestStart) -> int:
    """What is held for a call, in nanodollars."""
    return 0 if start.reserved_usd is None else min(int(start.reserved_usd.scaleb(9)), MOST_NANO)


class History:
    """What was spent of one budget before it was counted here: sums of the ledger, and single records more or less."""

    def __init__(self, plan: Plan, oldest_us: int) -> None:
        self._plan = plan
        self._oldest_us = oldest_us
        self._charges = Charges()

    def add_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add sums by the columns the budget's scope looks at (`data.queries.budgets.spent`)."""
        scope = self._plan.budget.scope
        for row in rows:
            for value in values(scope, who_of_sum(scope, row)):
                self._charges.add(0, value, row["bucket"], row["nano"])

    def add(self, record: LedgerRecord, sign: int = 1) -> None:
        """Add a record, or take it away (-1)."""
        bucket = self._plan.schedule.bucket(record.ended_at).start_us
        if record.ended_at < self._oldest_us:
            return
        for value in values(self._plan.budget.scope, who_asked(record)):
            self._charges.add(0, value, bucket, sign * counted(record))

    def all(self) -> list[Charge]:
        """What there is to install."""
        return self._charges.all()


def number_of(counter: Counter) -> int:
    """The number of a counter's budget, which is counted."""
    if counter.plan.number is None:
        raise ValueError(f"nothing is counted for the budget {counter.plan.budget.name!r}")
    return counter.plan.number
