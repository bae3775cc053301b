"""One call's ledger row: what was known at its start, how it ended, what was counted, and what that cost. Pure."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol as Shape

import msgspec

from data.model import CostStatus, Endpoint, LedgerRecord, Outcome, RequestStart, Tokens
from data.pricing import Priced
from proxy.request import clean
from proxy.secrets import error_class
from proxy.usage.usage import Billing, Share, Usage

#: What no provider bills.
_FREE = frozenset(
    {
        Endpoint.COUNT_TOKENS,
        Endpoint.COUNT_GEMINI_TOKENS,
        Endpoint.MODELS,
        Endpoint.BATCHES,
        Endpoint.FILES,
    }
)
_NOTHING = Decimal(0)


class Pricer(Shape):
    """Prices counts; `data.pricing.PriceBook.price` is one."""

    def __call__(
        self,
        *,
        provider: str,
        model: str,
        tokens: Tokens,
        at: datetime,
        protocol: str = "",
        service_tier: str = "",
        speed: str = "",
        inference_geo: str = "",
    ) -> Priced:
        """Return the cost of a request that ended `at` (aware)."""
        ...


class Ending(msgspec.Struct, frozen=True):
    """How a call ended, seen from the proxy. Durations are milliseconds, `ended_at` UTC microseconds."""

    outcome: Outcome
    status: int
    ended_at: int
    duration_ms: float
    overhead_ms: float = 0.0
    ttft_ms: float | None = None
    response_bytes: int = 0
    provider_request_id: str = ""
    error_class: str = ""
    error_message: str = ""
    billed: bool = True  # False: without counts the provider has charged nothing


class Cost(msgspec.Struct, frozen=True):
    """What a call cost, and how far that can be trusted."""

    usd: Decimal | None
    status: CostStatus
    note: str = ""
    source: str = ""


def served_model(start: RequestStart, usage: Usage) -> str:
    """Return the model that answered; the one that was asked where none did."""
    return clean(usage.model, 200) or start.model_sent or start.model_requested


def ledger_record(start: RequestStart, ending: Ending, usage: Usage, price: Pricer) -> LedgerRecord:
    """Return the row of a call, priced by the model that answered."""
    return row(start, ending, usage, cost_of(start, usage, price, at_us=ending.ended_at, billed=ending.billed))


def row(
    start: RequestStart, ending: Ending, usage: Usage, cost: Cost, liability_usd: Decimal | None = None
) -> LedgerRecord:
    """Return the row of a call whose cost is known; `liability_usd`: what budgets count where that is not the cost."""
    tokens = usage.all_tokens
    return LedgerRecord(
        id=start.id,
        request_id=start.request_id,
        attempt=start.attempt,
        cause=start.cause,
        started_at=start.started_at,
        ended_at=ending.ended_at,
        source=start.source,
        key=start.key,
        user=start.user,
        team=start.team,
        project=start.project,
        session=start.session,
        agent=start.agent,
        user_agent=start.user_agent,
        protocol=start.protocol,
        endpoint=start.endpoint,
        provider=start.provider,
        credential=start.credential,
        model_requested=start.model_requested,
        model=served_model(start, usage),
        stream=start.stream,
        outcome=ending.outcome,
        status=ending.status,
        error_class=error_class(ending.error_class or usage.error_class),
        error_message=clean(ending.error_message or usage.error_message, 500),
        stop_reason=clean(usage.stop_reason, 100),
        provider_request_id=clean(ending.provider_request_id or usage.response_id, 200),
        uncached_input_tokens=tokens.uncached_input,
        cache_read_tokens=tokens.cache_read,
        cache_write_5m_tokens=tokens.cache_write_5m,
        cache_write_1h_tokens=tokens.cache_write_1h,
        output_tokens=tokens.output,
        reasoning_tokens=tokens.reasoning,
        tool_units=tokens.tool_units,
        cost_usd=cost.usd,
        liability_usd=liability_usd,
        cost_status=cost.status,
        cost_note=clean(cost.note, 300),
        price_source=cost.source,
        service_tier=clean(usage.service_tier, 100),
        inference_geo=clean(usage.inference_geo, 100),
        speed=clean(usage.speed, 100),
        ttft_ms=ending.ttft_ms,
        duration_ms=ending.duration_ms,
        overhead_ms=ending.overhead_ms,
        request_bytes=start.request_bytes,
        response_bytes=ending.response_bytes,
        tags=start.tags,
        usage=usage.raw,
    )


def cost_of(start: RequestStart, usage: Usage, price: Pricer, *, at_us: int, billed: bool = True) -> Cost:
    """Return the cost by the models that answered; `billed=False`: without counts the provider has charged nothing."""
    counted = usage.tokens.input or usage.tokens.output or usage.tokens.tool_units or usage.others
    if start.endpoint in _FREE or usage.billing is Billing.FREE:
        return Cost(_NOTHING, CostStatus.EXACT, usage.note)
    if not (billed or counted):
        return Cost(_NOTHING, CostStatus.EXACT)
    if usage.billing is Billing.UNKNOWN and not counted:
        return Cost(None, CostStatus.UNPRICED, usage.note)
    priced = _priced(start, usage, price, at_us)
    notes = f"{usage.note}; {priced.note}" if usage.note and priced.note else usage.note or priced.note
    estimated = priced.status is CostStatus.EXACT and not (usage.complete and usage.billing is Billing.COUNTED)
    return Cost(priced.cost_usd, CostStatus.ESTIMATED if estimated else priced.status, notes, priced.source)


def _priced(start: RequestStart, usage: Usage, price: Pricer, at_us: int) -> Priced:
    """Price the answer's own model and whatever others had a share in it."""
    main = _priced_at(start, usage, Share(served_model(start, usage), usage.tokens), price, at_us)
    if not usage.others:
        return main
    parts = [main, *(_priced_at(start, usage, share, price, at_us) for share in usage.others)]
    costs = [part.cost_usd for part in parts if part.cost_usd is not None]
    if len(costs) < len(parts):
        return Priced(None, CostStatus.UNPRICED, "")
    worst = next((part.status for part in parts if part.status is not CostStatus.EXACT), CostStatus.EXACT)
    notes = "; ".join(dict.fromkeys(part.note for part in parts if part.note))
    return Priced(sum(costs, _NOTHING), worst, main.source, notes)


def _priced_at(start: RequestStart, usage: Usage, of: Share, price: Pricer, at_us: int) -> Priced:
    return price(
        provider=start.provider,
        protocol=start.upstream_protocol or start.protocol,
        model=of.model,
        tokens=of.tokens,
        at=datetime.fromtimestamp(at_us / 1_000_000, UTC),
        service_tier=usage.service_tier,
        speed=usage.speed,
        inference_geo=usage.inference_geo,
    )
