"""A budget as this proxy keeps it, and its counters in memory."""

from dataclasses import dataclass, field

from data.budget_periods import Schedule
from data.budgets import Budget


class Counter:
    """What this proxy has of one counter, in nanodollars.

    Its slice in the counters' file is `free` + `held` + `settled` at every instant. `free` is less than nothing where
    more was spent than was held for it, until that is folded.
    """

    __slots__ = ("asked_us", "free", "held", "leased", "limit", "plan", "settled", "spent", "told", "until_us", "value")

    def __init__(self, plan: "Plan", value: str) -> None:
        self.plan = plan
        self.value = value
        self.free = 0  # room for calls to come
        self.held = 0  # the worst case of calls in flight
        self.settled = 0  # what ended calls cost that is not folded yet
        self.until_us = 0  # from then on the file must be asked before `free` is used
        self.asked_us = 0  # when a call last took of it
        # as the file last said
        self.spent = 0
        self.leased = 0
        self.limit = 0
        self.told: dict[str, int] = {}  # thresholds that were told, and since when they may not be told again

    @property
    def empty(self) -> bool:
        """Whether this proxy has nothing of it."""
        return not (self.free or self.held or self.settled)

    @property
    def used_up(self) -> bool:
        """Whether as much is spent as may be, as far as this proxy knows."""
        return self.spent + self.settled >= self.limit


@dataclass(slots=True, eq=False)
class Plan:
    """One budget: its document, and the number of its counters; None while nothing is counted for it."""

    id: str
    version: int
    budget: Budget
    number: int | None
    schedule: Schedule
    learned_us: int = 0  # when this machine first heard of it, 0 for long ago
    counters: dict[str, Counter] = field(default_factory=dict)

    @property
    def hard(self) -> bool:
        """Whether calls are refused."""
        return self.budget.hard

    @property
    def of_place(self) -> bool:
        """Whether a call may get around it by going elsewhere."""
        return self.budget.scope.kind.of_place

    def counter(self, value: str) -> Counter:
        """Return the counter of a value."""
        found = self.counters.get(value)
        if found is None:
            found = self.counters[value] = Counter(self, value)
        return found

    def terms(self, at_us: int) -> tuple[int, int]:
        """Return the limit, and until when it holds and the period lasts."""
        limit, until = self.budget.limit(at_us)
        return limit, min(until, self.schedule.bucket(at_us).end_us)
