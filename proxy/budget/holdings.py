"""What this proxy holds of the budgets: slices of the counters, out of which calls are served without any I/O.

Everything here happens in one thread and at once, so that nothing comes between a look and a change.
"""

import logging
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from data.budget_periods import SECOND_US
from data.counters import books, slices
from data.counters.file import CounterFile
from data.counters.rows import Fold, Move, Want
from data.errors import CountersOutdated
from data.model import LedgerRecord
from proxy.budget.compiling import Compiled, compiled
from proxy.budget.money import counted
from proxy.budget.plan import Counter
from proxy.budget.plans import Plans
from proxy.budget.refuse import Shortage
from proxy.budget.reservation import Reservation

#: A slice of which no call has taken for so long goes back.
_IDLE_US: Final = SECOND_US
#: Records that one transaction takes in.
_AT_ONCE: Final = 2000
_log = logging.getLogger(__name__)


class Records(Protocol):
    """The part of `proxy.spool.Spool` that is folded."""

    @property
    def spool_id(self) -> str:
        """The spool's name."""
        ...

    @property
    def written(self) -> int:
        """The last record that is written."""
        ...

    def read(self, after: int, limit: int) -> tuple[int, list[LedgerRecord]]:
        """The first one's number, and durable records behind `after`."""
        ...


class _Ended(NamedTuple):
    """A record that is not folded yet, what it counts and where."""

    sequence: int
    ended_us: int
    nano: int
    counters: tuple[Counter, ...]
    record: LedgerRecord


class Holdings:
    """The slices of one proxy. Raises CountersError where the counters' file cannot be used."""

    def __init__(self, file: CounterFile, spool: Records, folded: int) -> None:
        self.plans = Plans(())
        self.faults: tuple[str, ...] = ()
        self.folded = folded
        self.more = False  # whether the last fold left some for another one
        self.changed: dict[Counter, None] = {}  # counters that folds have changed; whoever looks at them empties it
        self.file = file
        self._spool = spool
        self.generation = 0
        self._compiled = Compiled()
        self._ended: list[_Ended] = []
        self._fetched: set[int] = set()  # of these, the ones that were read from the spool
        self._holding: set[Counter] = set()
        self.reload()

    def reload(self) -> None:
        """Take in the newest documents. What is held of a budget whose counters are the same ones stays."""
        known = books.known(self.file)
        self._compiled = compiled(known, self._compiled)
        self.generation = known.generation
        self.plans = Plans(self._compiled.plans)
        self.faults = self._compiled.faults
        kept = set(self.plans.all)
        self._holding = {counter for counter in self._holding if counter.plan in kept}
        self.changed = {counter: None for counter in self.changed if counter.plan in kept}
        self._ended = [self._counted_anew(ended) for ended in self._ended]

    @property
    def spool_id(self) -> str:
        """Whose slices these are."""
        return self._spool.spool_id

    def outdated(self) -> bool:
        """Whether there are newer documents than these."""
        return self.file.generation() != self.generation

    def take(self, counters: tuple[Counter, ...], worst: int, now_us: int) -> list[Shortage]:
        """Hold `worst` in every counter, or in none: then the counters without room are told.

        Raises CountersOutdated, and nothing is held, where the counters are no longer those of the call.
        """
        for counter in counters:
            if counter.free < worst or now_us >= counter.until_us:
                if shortages := self._room_made(counters, worst, now_us):
                    return shortages
                break
        for counter in counters:
            counter.free -= worst
            counter.held += worst
            counter.asked_us = now_us
        return []

    def take_anyway(self, counters: Iterable[Counter], worst: int) -> None:
        """Hold `worst` in every counter without asking whether there is room."""
        for counter in counters:
            counter.free -= worst
            counter.held += worst
            self._holding.add(counter)

    def settle(self, reservation: Reservation, record: LedgerRecord, sequence: int) -> None:
        """Let go of what was held for a call, and count what it cost."""
        if sequence <= self.folded or sequence in self._fetched:  # taken in from the spool already
            self.release(reservation)
            return
        nano, charged = counted(record), self.plans.asked(record)
        held = reservation.nano
        if charged == reservation.counters:
            for counter in charged:
                counter.held -= held
                counter.free += held - nano
                counter.settled += nano
        else:
            self.release(reservation)
            self._charge(charged, nano)
        if nano > held > 0:
            self._overshot(record, nano, held)
        self._ended.append(_Ended(sequence, record.ended_at, nano, charged, record))

    def charge(self, record: LedgerRecord, sequence: int) -> None:
        """Count what was not held for as a call in flight."""
        nano, charged = counted(record), self.plans.asked(record)
        self._charge(charged, nano)
        self._ended.append(_Ended(sequence, record.ended_at, nano, charged, record))

    def release(self, reservation: Reservation) -> None:
        """Let go of what was held for a call that was never sent, or is counted otherwise."""
        for counter in reservation.counters:
            counter.held -= reservation.nano
            counter.free += reservation.nano

    def fold(self, now_us: int) -> None:
        """Move what has ended into the file, and give back what nobody uses.

        Raises CountersOutdated as well, and then nothing was done.
        """
        ended = self._foldable()
        self.more = len(ended) == _AT_ONCE
        last = ended[-1].sequence if ended else self._last_uncounted()
        charges: dict[Counter, dict[int, int]] = {}
        for each in ended:
            for counter in each.counters:
                bucket = counter.plan.schedule.bucket(each.ended_us).start_us
                into = charges.setdefault(counter, {})
                into[bucket] = into.get(bucket, 0) + each.nano
        backs = {counter: back for counter in self._holding if (back := _back(counter, now_us))}
        changed = list(dict.fromkeys([*charges, *backs]))
        if not changed and last == self.folded:
            return
        folds = [_fold(counter, charges.get(counter, {}), backs.get(counter, 0), now_us) for counter in changed]
        move = Move(self.spool_id, self.folded, last)
        standings = slices.fold(self.file, move, folds, self.generation)
        self._moved(last)
        for counter, fold, standing in zip(changed, folds, standings, strict=True):
            counter.settled -= sum(nano for _, nano in fold.charges)
            counter.free -= backs.get(counter, 0)
            counter.spent, counter.leased = standing.spent, standing.leased
        self._holding = {counter for counter in self._holding if not counter.empty}
        self.changed.update(dict.fromkeys(charges))

    def give_all_back(self, now_us: int) -> None:
        """Give back all that no call holds; used at the end."""
        for counter in self._holding:
            counter.asked_us = 0
        self.fold(now_us)

    def forget(self, before_us: int) -> None:
        """Drop from memory what nobody has asked for since."""
        self.plans.forget(before_us)

    def _room_made(self, counters: tuple[Counter, ...], worst: int, now_us: int) -> list[Shortage]:
        shortages = self._lease(counters, worst, now_us)
        if any(shortage.counter.settled for shortage in shortages):
            # what ended in a period that is over counts as taken until it is folded
            self.fold(now_us)
            return self._lease(counters, worst, now_us)
        return shortages

    def _lease(self, counters: Iterable[Counter], worst: int, now_us: int) -> list[Shortage]:
        lacking = [c for c in counters if c.free < worst or now_us >= c.until_us]
        terms = [counter.plan.terms(now_us) for counter in lacking]
        wants = [_want(counter, worst, limit, now_us) for counter, (limit, _) in zip(lacking, terms, strict=True)]
        try:
            given = slices.lease(self.file, self.spool_id, wants, self.generation)
        except CountersOutdated:
            self.reload()
            raise
        shortages = list[Shortage]()
        for counter, got, (limit, until) in zip(lacking, given, terms, strict=True):
            counter.limit, counter.until_us = limit, until
            counter.free, counter.spent, counter.leased = got.free, got.spent, got.leased
            if not got.fits:
                shortages.append(Shortage(counter, got.spent, got.leased, counter.settled, worst, got.batches))
        self._holding.update(lacking)
        return shortages

    def _charge(self, counters: Iterable[Counter], nano: int) -> None:
        """Count what no room was held for."""
        for counter in counters:
            counter.free -= nano
            counter.settled += nano
            self._holding.add(counter)

    def _counted_anew(self, ended: _Ended) -> _Ended:
        counters = self.plans.asked(ended.record)
        self._charge((counter for counter in counters if counter not in ended.counters), ended.nano)
        return ended._replace(counters=counters)

    def _foldable(self) -> list[_Ended]:
        """What has ended since the last fold, without a gap: what nobody has settled is read from the spool."""
        found = list[_Ended]()
        while len(found) < _AT_ONCE:
            expected = self.folded + len(found) + 1
            if expected > self._spool.written:
                break
            if len(found) < len(self._ended) and self._ended[len(found)].sequence == expected:
                found.append(self._ended[len(found)])
            elif not self.plans.all or not self._fetch(expected, len(found)):
                break
        return found

    def _fetch(self, sequence: int, place: int) -> bool:
        """Count a record that came without `settle`; False while it is not durable."""
        first, records = self._spool.read(sequence - 1, 1)
        if not records:
            return False
        if first == sequence:
            nano, charged = counted(records[0]), self.plans.asked(records[0])
            self._charge(charged, nano)
            ended = _Ended(sequence, records[0].ended_at, nano, charged, records[0])
        else:
            ended = _Ended(sequence, 0, 0, (), records[0])  # damage has eaten it
        self._ended.insert(place, ended)
        self._fetched.add(sequence)
        return True

    def _last_uncounted(self) -> int:
        """How far the fold goes where nothing is counted: to the spool's end."""
        return self.folded if self.plans.all else max(self._spool.written, self.folded)

    def _moved(self, last: int) -> None:
        self._ended = [ended for ended in self._ended if ended.sequence > last]
        self._fetched = {sequence for sequence in self._fetched if sequence > last}
        self.folded = last

    def _overshot(self, record: LedgerRecord, nano: int, held: int) -> None:
        _log.warning(
            "a call cost more than was held for it",
            extra={"record": record.id, "model": record.model, "counted_nano": nano, "held_nano": held},
        )


def _want(counter: Counter, worst: int, limit: int, now_us: int) -> Want:
    plan = counter.plan
    counts = plan.schedule.counts(now_us)
    return Want(plan.number or 0, counter.value, counter.free, worst, counts, limit, plan.hard)


def _fold(counter: Counter, charges: dict[int, int], back: int, now_us: int) -> Fold:
    plan = counter.plan
    counts = plan.schedule.counts(now_us)
    return Fold(plan.number or 0, counter.value, -sum(charges.values()) - back, tuple(charges.items()), counts)


def _back(counter: Counter, now_us: int) -> int:
    """What a counter gives back: a debt always, room that is not used, and room that others may wait for."""
    if counter.free <= 0:
        return counter.free
    idle = now_us - counter.asked_us >= _IDLE_US
    scarce = counter.limit - counter.spent - counter.leased < counter.free
    return counter.free if idle or scarce else 0
