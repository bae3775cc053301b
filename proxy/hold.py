"""What budgets hold for one attempt until its row is written, and for a batch for longer than that."""

from decimal import Decimal

from msgspec.structs import replace

from data.counters.rows import BatchKey
from data.model import LedgerRecord, Outcome, RequestStart
from proxy.budget.batch_holds import BatchHolds
from proxy.budget.budgets import Budgets
from proxy.budget.liability import liability
from proxy.budget.money import usd
from proxy.budget.reservation import BatchReservation, Reservation
from proxy.budget.worst_case import BatchWorst, Worst
from proxy.record import Cost, Pricer
from proxy.usage.usage import Usage


class Hold:
    """What is held for one attempt until its row is written."""

    __slots__ = ("_budgets", "_price", "reservation", "worst")

    def __init__(self, budgets: Budgets, reservation: Reservation, worst: Worst, price: Pricer) -> None:
        self._budgets = budgets
        self._price = price
        self.reservation = reservation
        self.worst = worst

    def noted(self, start: RequestStart) -> RequestStart:
        """Return what the ledger is told of the attempt, with what is held for it."""
        return replace(start, reserved_usd=usd(self.reservation.nano))

    def liability(self, start: RequestStart, told: Usage, cost: Cost, *, billed: bool, at_us: int) -> Decimal | None:
        """Return what budgets count of it, US dollars, where that is not its cost."""
        return liability(start, told, cost, self.worst, self._price, billed=billed, at_us=at_us)

    def settle(self, record: LedgerRecord, sequence: int) -> None:
        """Its row is written."""
        self._budgets.settle(self.reservation, record, sequence)

    def release(self) -> None:
        """It was never sent, or its row could not be written."""
        self._budgets.release(self.reservation)


class BatchLook(Hold):
    """The same for a call that looks at a batch, whose own hold ends with its results, or where none will come."""

    __slots__ = ("_batches", "_read", "_told")

    def __init__(self, budgets: Budgets, reservation: Reservation, worst: Worst, price: Pricer, read: str) -> None:
        """`read`: the batch whose results are read; '' where it is looked at otherwise."""
        super().__init__(budgets, reservation, worst, price)
        self._batches = BatchHolds(budgets)
        self._read = read
        self._told = Usage()

    def liability(self, start: RequestStart, told: Usage, cost: Cost, *, billed: bool, at_us: int) -> Decimal | None:
        """Return what budgets count of it, as for any call."""
        self._told = told
        return super().liability(start, told, cost, billed=billed, at_us=at_us)

    def settle(self, record: LedgerRecord, sequence: int) -> None:
        """Its row is written, after those of the results that it has read."""
        super().settle(record, sequence)
        if record.outcome is Outcome.OK and record.status == 200 and (batch := self._over()):
            self._batches.end(BatchKey(record.provider, batch))

    def _over(self) -> str:
        """The batch that nothing is still to be charged for, as far as the answer, which is whole, tells one."""
        told = self._told
        if self._read:  # a result that could not be read may have cost something
            return self._read if told.complete and not told.note else ""
        return told.response_id if told.nothing_due else ""


class BatchHold:
    """What is held for a new batch: until the call that makes it has failed, or until the batch's results are read."""

    __slots__ = ("_batches", "_held", "_unnamed", "_worst", "reservation")

    def __init__(self, batches: BatchHolds, reservation: BatchReservation, worst: BatchWorst | None) -> None:
        self._batches = batches
        self._worst = worst
        self._held = True  # for the call
        self._unnamed: RequestStart | None = None  # the call by whose id some of it is held, whatever becomes of it
        self.reservation = reservation

    def noted(self, start: RequestStart) -> RequestStart:
        """Return what the ledger is told, by which it is counted if this proxy dies; the model too, if it is one."""
        models = [] if self._worst is None else list(self._worst.by_model)
        model = models[0] if len(models) == 1 else start.model_requested
        start = replace(start, reserved_usd=usd(self.reservation.nano), model_requested=model)
        if self._worst is not None:
            whole, self.reservation = self.reservation, self._batches.hold_unnamed(self.reservation, start, self._worst)
            self._unnamed = None if self.reservation is whole else start
        return start

    def liability(self, start: RequestStart, told: Usage, _cost: Cost, *, billed: bool, at_us: int) -> Decimal | None:  # noqa: ARG002 - as every hold
        """Hold it for the batch from now on; where nobody knows which one was made, return it, to be counted."""
        held, worst = self.reservation, self._worst
        if not billed or not start.reserved_usd or worst is None:
            return None
        unnamed, self._unnamed = self._unnamed is not None, None
        if told.response_id and self._batches.hold(held, start, worst, told.response_id, unnamed=unnamed):
            self._held = False
            return None
        self.reservation = self._batches.hold_unnamed(held, start, worst)
        return start.reserved_usd

    def settle(self, record: LedgerRecord, sequence: int) -> None:
        """The call's row is written."""
        self.release()
        self._batches.settle(record, sequence)

    def release(self) -> None:
        """Let go of what is held for the call, if anything still is."""
        if self._unnamed is not None:
            self._batches.end_unnamed(self._unnamed)
            self._unnamed = None
        if self._held:
            self._held = False
            self._batches.release(self.reservation)
