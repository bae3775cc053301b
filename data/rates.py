"""What tokens cost once the rates are known: exact decimals, tiers by total input. Pure."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal

import msgspec

from data.model import CostStatus, Tokens

#: How the note of a price begins that leaves calls of tools out.
NO_TOOL_PRICE = "no price for "
_NANO = Decimal("1e-9")
_EXACT = Context(prec=50, rounding=ROUND_HALF_EVEN)


class Priced(msgspec.Struct, frozen=True, gc=False):
    """What a request costs in US dollars (nine decimals, half to even), how sure that is, and who says so.

    `cost_usd` is None exactly when `status` is UNPRICED. `note` names what could not be priced exactly.
    """

    cost_usd: Decimal | None
    status: CostStatus
    source: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars a token (a tool call, a request) for requests of more than `above` input tokens.

    None: no price is known, and a request that has such tokens is unpriced.
    """

    above: int
    input: Decimal | None
    cache_read: Decimal | None
    cache_write_5m: Decimal | None
    cache_write_1h: Decimal | None
    output: Decimal | None
    reasoning: Decimal | None
    tool_unit: Decimal | None
    request: Decimal


@dataclass(frozen=True, slots=True)
class RateTable:
    """The rates of one model at one time, highest tier first, and their source; `note`: why they may not be right."""

    tiers: tuple[Rates, ...]
    source: str
    note: str = ""

    def price(self, tokens: Tokens) -> Priced:
        """The cost of these counts, all at the rates of the tier that their total input reaches."""
        total = tokens.input
        for rates in self.tiers:
            if total > rates.above or rates.above < 0:
                return self._noted(_cost(rates, tokens, self.source))
        return self._noted(_cost(self.tiers[-1], tokens, self.source))

    def _noted(self, priced: Priced) -> Priced:
        if not self.note or priced.cost_usd is None:
            return priced
        notes = "; ".join(filter(None, (self.note, priced.note)))
        return Priced(priced.cost_usd, CostStatus.ESTIMATED, priced.source, notes)


#: What nobody has a price for.
UNPRICED = Priced(None, CostStatus.UNPRICED, "")


def _cost(rates: Rates, tokens: Tokens, source: str) -> Priced:
    counted = (
        (tokens.uncached_input, rates.input),
        (tokens.cache_read, rates.cache_read),
        (tokens.cache_write_5m, rates.cache_write_5m),
        (tokens.cache_write_1h, rates.cache_write_1h),
        (tokens.output - tokens.reasoning, rates.output),
        (tokens.reasoning, rates.reasoning),
    )
    total = rates.request
    for count, rate in counted:
        if count:
            if rate is None:
                return UNPRICED
            total = _EXACT.add(total, _EXACT.multiply(rate, Decimal(count)))
    if tokens.tool_units:
        if rates.tool_unit is None:
            cost = total.quantize(_NANO, ROUND_HALF_EVEN, _EXACT)
            return Priced(cost, CostStatus.ESTIMATED, source, f"{NO_TOOL_PRICE}{tokens.tool_units} tool calls")
        total = _EXACT.add(total, _EXACT.multiply(rates.tool_unit, Decimal(tokens.tool_units)))
    return Priced(total.quantize(_NANO, ROUND_HALF_EVEN, _EXACT), CostStatus.EXACT, source)
