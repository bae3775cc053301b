"""Whether a place costs more than the cap of its route allows. Pure."""

from collections.abc import Callable
from typing import Final

from proxy.routing import Candidate, Plan

_NANO: Final = 1_000_000_000

#: The most that a call may cost at a place, in nanodollars; None: no price is known.
Worst = Callable[[Candidate], int | None]


def over_cap(plan: Plan, first: Candidate, candidate: Candidate, worst_of: Worst | None) -> str:
    """Return why `candidate` is too dear to stand in for the `first` choice, '' where it is not."""
    if (plan.cap_usd is None and plan.cap_factor is None) or worst_of is None or candidate is first:
        return ""
    worst, usual, name = worst_of(candidate), worst_of(first), candidate.provider.name
    if worst is None:
        return f"{name} has no known price, and the route has a cost cap"
    if plan.cap_usd is not None and worst > plan.cap_usd * _NANO:
        return f"{name} may cost more than the route's cap of ${plan.cap_usd:f}"
    if plan.cap_factor is not None and usual is not None and worst > usual * plan.cap_factor:
        return f"{name} may cost more than {plan.cap_factor:g} times the first choice"
    return ""
