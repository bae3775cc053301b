"""Room for batches: what one may cost is held from when it is made until its results are read, in every budget of it.

While the call that makes it is in flight, that is held as for any call: a proxy that dies then leaves it to be counted
at its worst. With the batch's id it becomes the batch's own, in the counters' file, whatever becomes of the proxy. What
would not be counted then, in budgets of one of its several models, is held there by the call's id from the beginning.

What a result costs goes from there to what is spent, so that both together are never less than what the batch may come
to, however often a result is read and wherever a proxy dies; what no result needed is let go at the end.
"""

import time
from collections import Counter as Sums
from collections.abc import Mapping
from typing import Final, NamedTuple

from msgspec.structs import replace

from data.counters import holds
from data.counters.rows import Batch, BatchKey, Part
from data.errors import CountersError, CountersOutdated
from data.model import Endpoint, LedgerRecord, RequestStart
from proxy.budget import refuse
from proxy.budget.batch_account import BatchAccount
from proxy.budget.budgets import Budgets
from proxy.budget.charging import number_of
from proxy.budget.holdings import Holdings
from proxy.budget.money import MOST_NANO, counted
from proxy.budget.plan import Counter
from proxy.budget.plans import Match, Plans
from proxy.budget.refuse import Shortage
from proxy.budget.reservation import BatchReservation, Refusal, Reservation
from proxy.budget.worst_case import BatchWorst

#: The tag of a result's row that names its batch.
BATCH_TAG: Final = "batch_id"


class _Share(NamedTuple):
    """What calls of one model may cost together; None: no price is known. And what budgets they fall under."""

    model: str
    nano: int | None
    match: Match


class BatchHolds:
    """The batches of one proxy's budgets. Use it from the event loop; it keeps nothing of its own."""

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets
        self._counting = budgets.counting

    def reserve(self, start: RequestStart, worst: BatchWorst | None, now_s: float) -> BatchReservation | Refusal:
        """Hold what a new batch may cost while the call that makes it is in flight, or say why not.

        `worst` is None where the call does not tell it: such a batch is refused under hard budgets, or holds nothing.
        """
        budgets = self._budgets
        if (barred := self._barred(start, worst)) is not None:
            return barred
        shares = _shares(budgets.plans, start, worst)
        uncounted = tuple(dict.fromkeys(plan for share in shares for plan in share.match.uncounted))
        unknown = budgets.unknown(uncounted, int(now_s * 1e6)) if uncounted else ()
        if isinstance(unknown, Refusal):
            return unknown
        for share in shares:
            if share.nano is None and share.match.hard is not None and budgets.settings.unpriced == "refuse":
                return refuse.unpriced(share.match.hard, share.model)
        needs = _needs(shares)
        held = self._taken(start, worst, needs, now_s)
        if isinstance(held, Refusal):
            return held
        if budgets.settings.batches == "allow":
            self.release(held)
            held = BatchReservation(warnings=held.warnings)
        return replace(held, warnings=(*unknown, *held.warnings))

    def hold(
        self, held: BatchReservation, start: RequestStart, worst: BatchWorst, batch: str, *, unnamed: bool = False
    ) -> bool:
        """Hold for the batch what was held for the call that made it, from now on whatever becomes of this proxy.

        `unnamed`: some of it is held already, see `hold_unnamed`. False where that cannot be: then it is to be counted
        as spent.
        """
        account = BatchAccount(start, worst.by_model)
        made = Batch(BatchKey(start.provider, batch), start.started_at, account.encode())
        holdings = self._counting.holdings
        try:
            return holdings is not None and _turned_over(holdings, made, held.needs, _key(start) if unnamed else None)
        except CountersError as error:
            self._counting.fails(error)
            return False

    def hold_unnamed(self, held: BatchReservation, start: RequestStart, worst: BatchWorst) -> BatchReservation:
        """Hold what the row of a call that may make a batch would not count; return what is left of `held`.

        Of several models' budgets the row counts in none. With no batch's name it is held until it is too old.
        """
        counted = set(self._budgets.plans.asking(start).counters)
        rest = {counter: nano for counter, nano in held.needs.items() if counter not in counted and nano}
        if not rest or not self.hold(BatchReservation(rest), start, worst, _key(start).batch):
            return held
        return replace(held, needs={counter: nano for counter, nano in held.needs.items() if counter not in rest})

    def end_unnamed(self, start: RequestStart) -> None:
        """Let go of what `hold_unnamed` holds: the call has made no batch."""
        self.end(_key(start))

    def release(self, held: BatchReservation) -> None:
        """Let go of what was held for a call that made no batch."""
        if (holdings := self._counting.holdings) is not None:
            _released(holdings, held.needs)

    def settle(self, record: LedgerRecord, sequence: int) -> None:
        """Count a row, right after the spool has given it `sequence`: a result's out of what is held for its batch."""
        holdings = self._counting.holdings
        if holdings is None or not holdings.plans.all:
            return
        try:
            _draw(holdings, record)
        except CountersError as error:  # it counts all the same, and its batch holds more than it need
            self._counting.fails(error)
        holdings.charge(record, sequence)

    def end(self, batch: BatchKey) -> None:
        """Let go of what is left of a batch's hold: nothing of it is still to be charged."""
        self._counting.over.add(batch)
        self._budgets.tick(time.time_ns() // 1000)

    def made_by(self, batch: BatchKey) -> RequestStart | None:
        """Return the call that made a batch; None where nothing is held for it."""
        file = self._counting.file
        try:
            text = None if file is None else holds.account_of(file, batch)
        except CountersError as error:
            self._counting.fails(error)
            return None
        account = None if text is None else BatchAccount.decode(text)
        return None if account is None else account.start

    def _barred(self, start: RequestStart, worst: BatchWorst | None) -> Refusal | None:
        settings = self._budgets.settings.batches
        if settings == "allow" or (settings == "hold" and worst is not None):
            return None
        hard = self._budgets.plans.hard_for_any_model(start)
        return None if hard is None else refuse.batch(hard)

    def _taken(
        self, start: RequestStart, worst: BatchWorst | None, needs: Mapping[Counter, int], now_s: float
    ) -> BatchReservation | Refusal:
        holdings, now_us = self._counting.holdings, int(now_s * 1e6)
        if holdings is None:
            return BatchReservation()
        try:
            shortages = _taken_each(holdings, needs, now_us)
        except CountersOutdated:  # the newest are known now
            return self.reserve(start, worst, now_s)
        except CountersError as error:
            self._counting.fails(error)
            return self._without_file(holdings, needs)
        if shortages:
            return self._budgets.refused(shortages, now_us)
        full = (counter for counter in needs if not counter.plan.hard and counter.used_up)
        return BatchReservation(needs, tuple(map(refuse.warning, full)))

    def _without_file(self, holdings: Holdings, needs: Mapping[Counter, int]) -> BatchReservation | Refusal:
        hard = next((counter.plan for counter in needs if counter.plan.hard), None)
        if hard is not None and self._budgets.settings.on_outage == "closed":
            return refuse.unknown(hard, self._counting.trouble)
        for counter, nano in needs.items():
            holdings.take_anyway((counter,), nano)
        plans = dict.fromkeys(counter.plan for counter in needs)
        return BatchReservation(needs, tuple(map(refuse.unknown_warning, plans)))


def _shares(plans: Plans, start: RequestStart, worst: BatchWorst | None) -> list[_Share]:
    """A batch's calls may be for several models, of which each falls under budgets of its own."""
    if worst is None:
        return [_Share("", 0, plans.asking(start))]
    by_model = worst.by_model.items()
    return [_Share(model, nano, plans.asking(replace(start, model_requested=model))) for model, nano in by_model]


def _needs(shares: list[_Share]) -> dict[Counter, int]:
    needs = Sums[Counter]()
    for share in shares:
        for counter in share.match.counters:
            needs[counter] += share.nano or 0
    return {counter: min(nano, MOST_NANO) for counter, nano in needs.items()}


def _taken_each(holdings: Holdings, needs: Mapping[Counter, int], now_us: int) -> list[Shortage]:
    """Hold in every counter what it needs, or nothing in any: then the counters without room are told."""
    taken = dict[Counter, int]()
    for nano in sorted(set(needs.values()), reverse=True):
        counters = tuple(counter for counter, need in needs.items() if need == nano)
        try:
            shortages = holdings.take(counters, nano, now_us)
        except CountersError:
            _released(holdings, taken)
            raise
        if shortages:
            _released(holdings, taken)
            return shortages
        taken.update(dict.fromkeys(counters, nano))
    return []


def _released(holdings: Holdings, needs: Mapping[Counter, int]) -> None:
    for counter, nano in needs.items():
        holdings.release(Reservation((counter,), nano))


def _key(start: RequestStart) -> BatchKey:
    """What a batch is called before its own name is known."""
    return BatchKey(start.provider, f"of {start.id}")


def _turned_over(
    holdings: Holdings, batch: Batch, needs: Mapping[Counter, int], instead_of: BatchKey | None = None
) -> bool:
    """Move what is held to the batch's hold. A batch that is told of twice has one already."""
    kept = set(holdings.plans.all)
    here = {counter: nano for counter, nano in needs.items() if counter.plan in kept}
    parts = [Part(number_of(counter), counter.value, nano) for counter, nano in here.items()]
    if not parts and instead_of is None:
        return False
    try:
        made = holds.begin(holdings.file, holdings.spool_id, batch, parts, holdings.generation, instead_of=instead_of)
    except CountersOutdated:
        holdings.reload()
        return _turned_over(holdings, batch, needs, instead_of)
    if not made:
        _released(holdings, here)
        return True
    for counter, nano in here.items():
        counter.held -= nano
    return True


def _draw(holdings: Holdings, record: LedgerRecord) -> None:
    """Take what a result costs from its batch's hold into this proxy's slices."""
    nano, batch = counted(record), record.tags.get(BATCH_TAG, "")
    if not (nano and batch) or record.endpoint is not Endpoint.BATCH_RESULT:
        return
    counters = holdings.plans.asked(record)
    parts = [Part(number_of(counter), counter.value, nano) for counter in counters]
    try:
        drawn = holds.draw(
            holdings.file, holdings.spool_id, BatchKey(record.provider, batch), parts, holdings.generation
        )
    except CountersOutdated:
        holdings.reload()
        _draw(holdings, record)
        return
    for counter, got in zip(counters, drawn, strict=True):
        counter.free += got
