"""What budgets count of a call that has ended, where that is not its cost: the most it may have been. Pure.

exact                     the provider's own counts at a known price: the cost
nothing can be charged    a request that has not left as a whole, or an answer that is an error: nothing
counts of the input only  a stream that broke off after it had told them: that input, and the output that was seen with
                          what may have been on its way and what a stream does not show
anything less             a timeout, a break before the counts, a killed proxy: what was held, which bounds them all

Each is an upper bound of what the provider charges as long as its counts are what it says: a provider that counts an
answer after its caller has hung up, for longer than some hundred tokens, or that charges for an error, is not covered.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from data.model import RequestStart, Tokens
from proxy.budget.worst_case import Worst
from proxy.record import Cost, Pricer, served_model
from proxy.usage.estimate import BYTES_PER_TOKEN
from proxy.usage.usage import Usage

#: Tokens that a provider may have made before it noticed that nobody listens any more.
ON_THE_WAY: Final = 256
_NOTHING: Final = Decimal(0)


def liability(
    start: RequestStart, usage: Usage, cost: Cost, worst: Worst, price: Pricer, *, billed: bool, at_us: int
) -> Decimal | None:
    """Return what budgets count, in dollars; None where that is the cost.

    `usage` is what the answer itself told, without estimates. `billed=False`: without counts the provider has charged
    nothing (`Fault.billed`). `worst` is what was held, and `at_us` when the call ended.
    """
    held = start.reserved_usd
    if held is None:
        return None
    known = cost.usd or _NOTHING
    if not (billed or _counted(usage)):
        return None if cost.usd == 0 else known
    if usage.complete and cost.usd is not None:
        return None
    bound = _seen(start, usage, worst, price, at_us) if usage.tokens.input and not worst.shared else None
    return max(known, held if bound is None else min(bound, held))


def _counted(usage: Usage) -> bool:
    tokens = usage.tokens
    return bool(tokens.input or tokens.output or tokens.tool_units)


def _seen(start: RequestStart, usage: Usage, worst: Worst, price: Pricer, at_us: int) -> Decimal | None:
    """Price the input that was told, with the most output there may have been."""
    told, output = usage.tokens, worst.output_tokens
    if worst.hidden_tokens is not None:
        # the estimate stands for that many bytes, and a token is at least one
        output = min(output, BYTES_PER_TOKEN * told.output + worst.hidden_tokens + ON_THE_WAY)
    tokens = Tokens(
        uncached_input=told.uncached_input,
        cache_read=told.cache_read,
        cache_write_5m=told.cache_write_5m,
        cache_write_1h=told.cache_write_1h,
        output=max(output, told.output),
        tool_units=max(told.tool_units, worst.tool_units),
    )
    return price(
        provider=start.provider,
        protocol=start.upstream_protocol or start.protocol,
        model=served_model(start, usage),
        tokens=tokens,
        at=datetime.fromtimestamp(at_us / 1_000_000, UTC),
        service_tier=usage.service_tier,
        speed=usage.speed,
        inference_geo=usage.inference_geo,
    ).cost_usd
