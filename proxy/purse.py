"""The budgets' part in one call: its worst case at each place, and what is held for an attempt."""

import asyncio
from typing import Final

from msgspec.structs import replace

from data.model import Endpoint, Protocol, RequestStart
from proxy.budget import refuse
from proxy.budget.appraisal import Appraiser
from proxy.budget.batch_holds import BatchHolds
from proxy.budget.budgets import Budgets
from proxy.budget.demand import Demand, Limits, demand, demand_unread
from proxy.budget.reservation import Refusal
from proxy.budget.worst_case import BatchWorst, Worst
from proxy.call import Call
from proxy.hold import BatchHold, BatchLook, Hold
from proxy.record import Pricer
from proxy.routing import Candidate
from proxy.translate.to_chat import SPEEDS

_AT_ONCE_BYTES: Final = 256 * 1024


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
        facts, plain = call.facts, call.plain
        limits = Limits(
            facts.max_tokens,
            facts.answers,
            facts.service_tier,
            facts.speed,
            facts.inference_geo,
            readable=facts.readable,
        )
        if call.streamed is not None:
            asked = demand_unread(call.streamed.most_bytes, call.endpoint, limits)
        elif plain is None:
            asked = demand_unread(len(call.body), call.endpoint, limits)
        elif len(plain) > _AT_ONCE_BYTES:
            asked = await asyncio.to_thread(demand, plain, call.endpoint, limits)
        else:
            asked = demand(plain, call.endpoint, limits)
        return cls(call, budgets, appraiser, asked)

    def worst(self, candidate: Candidate, now_s: float) -> Worst:
        """Return the most that the call may cost at a place."""
        found = self._worst.get(id(candidate))
        if found is None:
            provider = candidate.provider
            found = self._worst[id(candidate)] = self._appraiser.worst(
                _as_sent(self._asked, candidate),
                provider=provider.name,
                protocol=provider.protocol,
                model=candidate.model or self._call.facts.model,
                now_s=now_s,
            )
        return found

    def hold(self, start: RequestStart, candidate: Candidate, price: Pricer, now_s: float) -> Hold | Refusal:
        """Hold the attempt's worst case in every budget that counts it, or say why there is no room."""
        worst = self.worst(candidate, now_s)
        if self._call.plain is None and self._asked.bills and (barred := self._unreadable(start)) is not None:
            return barred
        held = self._budgets.reserve(start, worst.nano, now_s)
        if isinstance(held, Refusal):
            return held
        if self._call.endpoint is Endpoint.BATCHES:
            return BatchLook(self._budgets, held, worst, price, self._call.asked.batch)
        return Hold(self._budgets, held, worst, price)

    async def hold_batch(self, start: RequestStart, candidate: Candidate, now_s: float) -> BatchHold | Refusal:
        """The same for a call that makes a batch: what all of its calls may cost together."""
        body, provider = self._call.plain or b"", candidate.provider

        def appraised() -> BatchWorst | None:
            return self._appraiser.batch(body, provider=provider.name, protocol=provider.protocol, now_s=now_s)

        worst = await asyncio.to_thread(appraised) if len(body) > _AT_ONCE_BYTES else appraised()
        batches = BatchHolds(self._budgets)
        held = batches.reserve(start, worst, now_s)
        return held if isinstance(held, Refusal) else BatchHold(batches, held, worst)

    def _unreadable(self, start: RequestStart) -> Refusal | None:
        """Why a body that nobody here can read is not sent: what it asks for may cost anything, or ask any model."""
        plans = self._budgets.plans
        known = start.model_sent or start.model_requested
        hard = plans.asking(start).hard if known else plans.hard_for_any_model(start)
        return None if hard is None else refuse.unreadable(hard)


def _as_sent(asked: Demand, candidate: Candidate) -> Demand:
    """What a place is asked for: to OpenAI's protocol a call's speed is translated into a class of service."""
    if not candidate.translates or candidate.provider.protocol is not Protocol.OPENAI:
        return asked
    tier = SPEEDS.get(asked.speed)
    return replace(asked, service_tier=tier) if tier else asked
