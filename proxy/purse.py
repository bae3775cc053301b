"""The budgets' part in one call: its worst case at each place, what is held for an attempt, what that one counts."""

import asyncio
from decimal import Decimal
from typing import Final

from data.model import LedgerRecord, RequestStart
from proxy.budget.appraisal import Appraiser
from proxy.budget.budgets import Budgets
from proxy.budget.demand import Demand, Limits, demand, demand_unread
from proxy.budget.liability import liability
from proxy.budget.reservation import Refusal, Reservation
from proxy.budget.worst_case import Worst
from proxy.call import Call
from proxy.record import Cost, Pricer
from proxy.routing import Candidate
from proxy.usage.usage import Usage

_AT_ONCE_BYTES: Final = 256 * 1024


class Hold:
    """What is held for one attempt until its row is written."""

    __slots__ = ("_budgets", "_price", "reservation", "worst")

    def __init__(self, budgets: Budgets, reservation: Reservation, worst: Worst, price: Pricer) -> None:
        self._budgets = budgets
        self._price = price
        self.reservation = reservation
        self.worst = worst

    def liability(self, start: RequestStart, told: Usage, cost: Cost, *, billed: bool, at_us: int) -> Decimal | None:
        """Return what budgets count of it, US dollars, where that is not its cost."""
        return liability(start, told, cost, self.worst, self._price, billed=billed, at_us=at_us)

    def settle(self, record: LedgerRecord, sequence: int) -> None:
        """Its row is written."""
        self._budgets.settle(self.reservation, record, sequence)

    def release(self) -> None:
        """It was never sent, or its row could not be written."""
        self._budgets.release(self.reservation)


class Purse:
    """One call's worst cases, and room for its attempts."""

    def __init__(self, call: Call, budgets: Budgets, appraiser: Appraiser, asked: Demand) -> None:
        self._call = call
        self._budgets = budgets
        self._appraiser = appraiser
        self._asked = asked
        self._worst: dict[int, Worst] = {}

    @classmethod
    async def of(cls, call: Call, budgets: Budgets, appraiser: Appraiser) -> "Purse":
        """Read what the call asks for at the most; a large body in a thread, so that other calls go on."""
        facts = call.facts
        plain = call.request.headers.get("Content-Encoding", "identity") == "identity"
        limits = Limits(
            facts.max_tokens,
            facts.answers,
            facts.service_tier,
            facts.speed,
            facts.inference_geo,
            readable=facts.readable and plain,
        )
        if call.streamed is not None:
            asked = demand_unread(call.streamed.most_bytes, call.endpoint, limits)
        elif len(call.body) > _AT_ONCE_BYTES:
            asked = await asyncio.to_thread(demand, call.body, call.endpoint, limits)
        else:
            asked = demand(call.body, call.endpoint, limits)
        return cls(call, budgets, appraiser, asked)

    def worst(self, candidate: Candidate, now_s: float) -> Worst:
        """Return the most that the call may cost at a place."""
        found = self._worst.get(id(candidate))
        if found is None:
            provider = candidate.provider
            found = self._worst[id(candidate)] = self._appraiser.worst(
                self._asked,
                provider=provider.name,
                protocol=provider.protocol,
                model=candidate.model or self._call.facts.model,
                now_s=now_s,
            )
        return found

    def hold(self, start: RequestStart, candidate: Candidate, price: Pricer, now_s: float) -> Hold | Refusal:
        """Hold the attempt's worst case in every budget that counts it, or say why there is no room."""
        worst = self.worst(candidate, now_s)
        held = self._budgets.reserve(start, worst.nano, now_s)
        return held if isinstance(held, Refusal) else Hold(self._budgets, held, worst, price)

    def room_for_batch(self, start: RequestStart, candidate: Candidate, now_s: float) -> Refusal | None:
        """Say why a new batch is not made, whose results are charged when they are fetched: nothing stays held for it.

        One that does not tell what it may cost passes where batches may pass at all.
        """
        if (barred := self._budgets.bars_batch(start)) is not None:
            return barred
        provider = candidate.provider
        worst = self._appraiser.batch(self._call.body, provider=provider.name, protocol=provider.protocol, now_s=now_s)
        held = self._budgets.reserve(start, 0 if worst is None else worst.nano, now_s)
        if isinstance(held, Refusal):
            return held
        self._budgets.release(held)
        return None
