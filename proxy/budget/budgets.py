"""The budgets of one proxy: a call reserves its worst case, and settles to what it cost.

The invariant: of each hard budget, in each period, what calls cost that have ended and what is held for those in flight
are together never more than the limit. It holds

- under concurrency, because a call is let through only where all its counters have room for its worst case at once;
- with several proxies, because each takes its slices from one file, in one transaction that sees what all have taken;
- over a `kill -9`, because a slice stays taken until the records behind `folded` are counted from the spool, and the
  calls without an end at what was held for them (the start says it, written before the call leaves);
- with batches, because what one may cost is held in that file from the moment it is made until its results are read;
- while the store is away, because nothing of this asks it;

as long as no call costs more than was held for it. One that does is counted in full, and a warning is logged.

`reserve` and `settle` do no I/O but when a slice is used up: then one transaction of some 20 µs takes more. With three
budgets both together take 4 µs (7 on a machine that is busy with other work), and the fold 3 µs a record.
"""

import logging
from typing import Final, Self

from data import budget_outlook as outlook
from data.budget_periods import NEVER, Rolling
from data.config import BudgetsConfig
from data.counters import reports
from data.counters.file import CounterFile
from data.counters.rows import Crossing
from data.errors import CountersDamaged, CountersError, CountersOutdated
from data.model import LedgerRecord, RequestStart
from proxy.budget import refuse
from proxy.budget.charging import number_of
from proxy.budget.counting import Counting, Spool
from proxy.budget.holdings import Holdings
from proxy.budget.keeper import Keeper
from proxy.budget.money import MOST_NANO, shown
from proxy.budget.plan import Counter, Plan
from proxy.budget.plans import Match, Plans
from proxy.budget.refuse import Shortage
from proxy.budget.reservation import FREE, Refusal, Reservation

#: A budget that was only just made is let be for so long, until it is counted.
_GRACE_US: Final = 10_000_000
_MAX_FOLDS: Final = 50
_log = logging.getLogger(__name__)


class Budgets:
    """All budgets, seen from one proxy. Use it from the event loop."""

    def __init__(self, keeper: Keeper, spool: Spool, settings: BudgetsConfig) -> None:
        self.settings = settings
        self.counting = Counting(keeper, spool)

    @classmethod
    def open(cls, keeper: Keeper, spool: Spool, settings: BudgetsConfig) -> Self:
        """Begin where the last proxy on this spool ended, however it did. Raises nothing: `trouble` tells."""
        budgets = cls(keeper, spool, settings)
        budgets.counting.begin()
        return budgets

    @property
    def active(self) -> bool:
        """Whether there is any budget; without one no worst case need be worked out, and nothing be settled."""
        return bool(self.plans.all)

    @property
    def plans(self) -> Plans:
        """The budgets that are switched on."""
        return self.counting.plans

    @property
    def file(self) -> CounterFile | None:
        """The counters; None while they cannot be used."""
        return self.counting.file

    @property
    def trouble(self) -> str:
        """Why some budget cannot be kept as it should; '' while all is well."""
        if self.counting.trouble:
            return self.counting.trouble
        holdings = self.counting.holdings
        faults = holdings.faults if holdings is not None else ()
        unknown = [plan.budget.name for plan in self.plans.all if plan.number is None]
        if unknown:
            why = self.counting.why_unknown
            faults = (*faults, f"what was spent is not known of {', '.join(map(repr, unknown))} ({why})")
        return "; ".join(faults)

    def reserve(self, start: RequestStart, worst_nano: int | None, now_s: float) -> Reservation | Refusal:
        """Hold a call's worst case in all its budgets, or say why not. `worst_nano` is None for an unpriced model."""
        match = self.plans.asking(start)
        if not match.counters and not match.uncounted:
            return FREE
        now_us = int(now_s * 1e6)
        unknown = self.unknown(match.uncounted, now_us) if match.uncounted else ()
        if isinstance(unknown, Refusal):
            return unknown
        if worst_nano is None:
            if match.hard is not None and self.settings.unpriced == "refuse":
                return refuse.unpriced(match.hard, start.model_sent or start.model_requested)
            worst_nano = 0
        if not worst_nano:
            return Reservation(match.counters, 0, unknown)
        return self._take(match, start, min(worst_nano, MOST_NANO), now_us, unknown)

    def settle(self, reservation: Reservation, record: LedgerRecord, sequence: int) -> None:
        """Let go of what was held, and count what the call cost; right after the spool has given it `sequence`."""
        if (holdings := self.counting.holdings) is not None:
            holdings.settle(reservation, record, sequence)

    def release(self, reservation: Reservation) -> None:
        """Let go of what was held for a call that was never sent."""
        if (holdings := self.counting.holdings) is not None:
            holdings.release(reservation)

    def tick(self, now_us: int) -> None:
        """Move what has ended into the counters' file, and take in what has changed there. Raises nothing."""
        counting = self.counting
        try:
            if counting.holdings is None or counting.file is None or counting.file.replaced:
                counting.renew()
                return
            if counting.holdings.outdated():
                counting.holdings.reload()
            self._fold(counting.holdings, counting.file, now_us)
            counting.end_batches()
            counting.trouble = ""
        except CountersDamaged as error:
            counting.fails(error)
            counting.renew()
        except CountersError as error:
            counting.fails(error)

    def forget(self, before_us: int) -> None:
        """Drop from memory what nobody has asked for since."""
        if (holdings := self.counting.holdings) is not None:
            holdings.forget(before_us)

    def close(self, now_us: int) -> None:
        """Count all that has ended, and give back what is left."""
        self.tick(now_us)
        self.counting.close(now_us)

    def _take(
        self, match: Match, start: RequestStart, worst: int, now_us: int, warnings: tuple[str, ...]
    ) -> Reservation | Refusal:
        holdings = self.counting.holdings
        if holdings is None:
            return Reservation((), 0, warnings)
        try:
            shortages = holdings.take(match.counters, worst, now_us)
        except CountersOutdated:  # the newest are known now
            return self.reserve(start, worst, now_us / 1e6)
        except CountersError as error:
            self.counting.fails(error)
            return self._without_file(holdings, match, worst)
        if shortages:
            return self.refused(shortages, now_us)
        if match.soft:
            warnings += tuple(refuse.warning(counter) for counter in match.soft if counter.used_up)
        return Reservation(match.counters, worst, warnings)

    def _without_file(self, holdings: Holdings, match: Match, worst: int) -> Reservation | Refusal:
        """There is no asking for room: refuse, or let through what will be counted when there is."""
        if match.hard is not None and self.settings.on_outage == "closed":
            return refuse.unknown(match.hard, self.counting.trouble)
        holdings.take_anyway(match.counters, worst)
        plans = dict.fromkeys(counter.plan for counter in match.counters)
        return Reservation(match.counters, worst, tuple(refuse.unknown_warning(plan) for plan in plans))

    def unknown(self, plans: tuple[Plan, ...], now_us: int) -> Refusal | tuple[str, ...]:
        """What becomes of a call under budgets of which nobody knows what was spent."""
        due = [plan for plan in plans if now_us - plan.learned_us >= _GRACE_US]
        hard = next((plan for plan in due if plan.hard), None)
        if hard is not None and self.settings.on_outage == "closed":
            return refuse.unknown(hard, self.counting.why_unknown)
        return tuple(refuse.unknown_warning(plan) for plan in due)

    def refused(self, shortages: list[Shortage], now_us: int) -> Refusal:
        """Say why there is no room, by the tightest of the budgets."""
        tightest = refuse.tightest(shortages)
        others = [shortage for shortage in shortages if shortage is not tightest]
        frees_us = self._frees(tightest, now_us) if tightest.gone else now_us
        return refuse.no_room(tightest, now_us, frees_us, others)

    def _frees(self, shortage: Shortage, now_us: int) -> int:
        """When there is room again if nobody spends anything until then."""
        counter, schedule = shortage.counter, shortage.counter.plan.schedule
        buckets = list[tuple[int, int]]()
        file = self.counting.file
        if isinstance(schedule, Rolling) and file is not None:
            try:
                buckets = reports.buckets(file, number_of(counter), counter.value, schedule.counts(now_us))
            except CountersError as error:
                self.counting.fails(error)
                return NEVER
        return schedule.frees(now_us, buckets, shortage.need - shortage.left)

    def _fold(self, holdings: Holdings, file: CounterFile, now_us: int) -> None:
        for _ in range(_MAX_FOLDS):
            try:
                holdings.fold(now_us)
            except CountersOutdated:
                holdings.reload()
                continue
            if not holdings.more:
                break
        for counter in list(holdings.changed):
            self._tell(file, counter, now_us)
            del holdings.changed[counter]

    def _tell(self, file: CounterFile, counter: Counter, now_us: int) -> None:
        """Log which thresholds were reached, each once in a period, whoever of this home's proxies sees it first."""
        plan, schedule = counter.plan, counter.plan.schedule
        limit, _ = plan.terms(now_us)
        since, span = schedule.counts(now_us).start_us, outlook.life(plan.budget, now_us)
        for name in outlook.reached(plan.budget, limit, counter.spent, span, now_us):
            if counter.told.get(name, -1) >= since:
                continue
            counter.told[name] = now_us
            crossing = Crossing(number_of(counter), counter.value, name, now_us, counter.spent, limit)
            if reports.cross(file, crossing, since):
                said = f"{shown(counter.spent)} of {shown(limit)} spent"
                _log.warning(
                    "the budget %s reached %s: %s",
                    refuse.named(counter),
                    name,
                    said,
                    extra={"budget": plan.budget.name, "value": counter.value, "threshold": name},
                )
