"""The most that a call may cost at a model, in nanodollars. Pure.

Every token of the body at the dearest rate it may come to, every token of output that the call allows, and whatever the
provider's own tools may bring. Not covered, and counted in full when it shows: a model that answers instead of the one
that was asked, a tier or a region that an account has set without the call's saying so, and searches that bring more
than is allowed for here.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from data.ceilings import FEMTO, Ceiling
from proxy.budget.demand import Demand

#: What a model takes at once where nobody says; larger windows are sold as tiers of their own.
_ASSUMED_WINDOW: Final = 1_000_000
#: Tokens that one use of a provider's tool brings; a page that is fetched may be longer.
_RESULT_TOKENS: Final = 10_000


class Worst(msgspec.Struct, frozen=True):
    """The most that a call may cost; None where no price is known. And the most output that it may bring.

    `hidden_tokens`: output that a stream does not show; None: all of it may be hidden. `shared`: other models may have
    a part in it, which its stream does not show either.
    """

    nano: int | None = 0
    output_tokens: int = 0
    hidden_tokens: int | None = 0
    tool_units: int = 0
    shared: bool = False


class BatchWorst(msgspec.Struct, frozen=True):
    """The most that a batch's calls may cost together, in nanodollars, by the model asked; None: no price is known."""

    by_model: Mapping[str, int | None] = {}


def worst_case(demand: Demand, rates: Sequence[Ceiling], window: int | None, assumed_output: int) -> Worst:
    """Return the most that a call may come to.

    `rates` are the model's dearest, nothing for a model without a price; `window` is how many tokens it takes at once,
    None where nobody says; `assumed_output` is for calls that do not limit their answers.
    """
    if not demand.bills:
        return Worst()
    read = input_bound(demand, rates, window)
    written = assumed_output * demand.answers if demand.output_tokens is None else demand.output_tokens
    reachable = [tier for tier in rates if tier.above < read]
    costs = [_cost(demand, tier, read, written) for tier in reachable or rates[:1]]
    known = [cost for cost in costs if cost is not None]
    nano = -(-max(known) // FEMTO) if known and len(known) == len(costs) else None
    return Worst(nano, written, demand.hidden_tokens, demand.tool_units)


def input_bound(demand: Demand, rates: Sequence[Ceiling], window: int | None) -> int:
    """Return how many tokens the provider may count as input."""
    once = max(demand.input_tokens, _window(rates, window)) if demand.open_ended else demand.input_tokens
    uses = demand.turns - 1
    # each turn reads again what was there, and what the tools have brought so far
    return once * demand.turns + _RESULT_TOKENS * uses * (uses + 1) // 2


def _window(rates: Sequence[Ceiling], window: int | None) -> int:
    """A tier that begins at the window's end shows that there is a larger one."""
    return _ASSUMED_WINDOW if window is None or (rates and rates[-1].above >= window) else window


def _cost(demand: Demand, tier: Ceiling, read: int, written: int) -> int | None:
    """In femtodollars."""
    inputs = [tier.input]
    if demand.writes_5m:
        inputs.append(tier.cache_write_5m)
    if demand.writes_1h:
        inputs.append(tier.cache_write_1h)
    dearest = [rate for rate in inputs if rate is not None]
    if len(dearest) < len(inputs) or (written and tier.output is None):
        return None
    tools = demand.tool_units * (tier.tool_unit or 0)
    return read * max(dearest) + written * (tier.output or 0) + tools + tier.request
