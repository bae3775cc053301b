"""Which counters a call counts in, found in a microsecond: calls with equal columns are looked up once."""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Final, NamedTuple

from data.budget_scope import Who, values, who_asked, who_asks
from data.budgets import ScopeKind
from data.model import LedgerRecord, RequestStart
from proxy.budget.plan import Counter, Plan

_MAX_KEPT: Final = 20_000
_MODELS: Final = ("cause", "model_requested")


class Match(NamedTuple):
    """The counters of a call, those of soft budgets, the first hard budget, and budgets that are not counted yet.

    A hard budget that the call falls under wherever it goes comes before one of a place.
    """

    counters: tuple[Counter, ...]
    soft: tuple[Counter, ...]
    hard: Plan | None
    uncounted: tuple[Plan, ...]


class Plans:
    """All budgets that are switched on."""

    def __init__(self, plans: Iterable[Plan]) -> None:
        self.all = tuple(plans)
        self._asking = _columns(self.all, "model_sent")
        self._asked = _columns(self.all, "model")
        self._of_starts: dict[Any, Match] = {}
        self._of_records: dict[Any, tuple[Counter, ...]] = {}

    def asking(self, start: RequestStart) -> Match:
        """Return what a call falls under that is about to be sent."""
        key = self._asking(start)
        match = self._of_starts.get(key)
        if match is None:
            match = self._of_starts[key] = self._match(who_asks(start))
            self._bound()
        return match

    def hard_for_any_model(self, start: RequestStart) -> Plan | None:
        """Return a hard budget that what may be for any model may come to count in, as the calls of a batch."""
        of_models = (plan for plan in self.all if plan.hard and plan.budget.scope.kind is ScopeKind.MODEL)
        return self.asking(start).hard or next(of_models, None)

    def asked(self, record: LedgerRecord) -> tuple[Counter, ...]:
        """Return the counters that an ended call counts in."""
        key = self._asked(record)
        counters = self._of_records.get(key)
        if counters is None:
            counters = self._of_records[key] = self._match(who_asked(record)).counters
            self._bound()
        return counters

    def forget(self, before_us: int) -> None:
        """Drop counters of which this proxy has nothing and which nobody has asked since."""
        for plan in self.all:
            idle = [c.value for c in plan.counters.values() if c.empty and c.asked_us < before_us]
            for value in idle:
                del plan.counters[value]
        self._of_starts.clear()
        self._of_records.clear()

    def _match(self, who: Who) -> Match:
        found = [(plan, value) for plan in self.all for value in values(plan.budget.scope, who)]
        counted = tuple(plan.counter(value) for plan, value in found if plan.number is not None)
        return Match(
            counters=counted,
            soft=tuple(counter for counter in counted if not counter.plan.hard),
            hard=min((plan for plan, _ in found if plan.hard), key=lambda plan: plan.of_place, default=None),
            uncounted=tuple(plan for plan, _ in found if plan.number is None),
        )

    def _bound(self) -> None:
        for kept in (self._of_starts, self._of_records):
            if len(kept) > _MAX_KEPT:
                kept.clear()


def _columns(plans: Iterable[Plan], model: str) -> Callable[[Any], Any]:
    """Return what reads of a row all that any scope looks at."""
    scopes = [plan.budget.scope for plan in plans]
    kinds = {scope.kind for scope in scopes} - {ScopeKind.GLOBAL, ScopeKind.MODEL, ScopeKind.TAG}
    names = sorted(kind.value for kind in kinds)
    if any(scope.kind is ScopeKind.MODEL for scope in scopes):
        names += [*_MODELS, model]
    tags = sorted({scope.tag for scope in scopes if scope.kind is ScopeKind.TAG})
    columns: Callable[[Any], Any] = attrgetter(*names) if names else lambda _: ()
    if not tags:
        return columns
    return lambda row: (columns(row), *(row.tags.get(tag) for tag in tags))
