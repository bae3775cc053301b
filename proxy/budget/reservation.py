"""What a call gets when it asks for room: a reservation, or a refusal that says why and when to come back."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from data.budgets import ScopeKind
from proxy.budget.plan import Counter

WARNING_HEADER: Final = "x-claude-proxy-budget-warning"


class Why(StrEnum):
    """Why a call is refused, as machines read it."""

    EXCEEDED = "budget_exceeded"  # the money is gone
    HELD = "budget_held"  # calls in flight hold what is left
    UNPRICED = "budget_unpriced"  # nobody knows what the model costs
    BATCH = "budget_batch"  # what it costs is known when its results are fetched
    UNKNOWN = "budget_unknown"  # what was spent so far is not known now


class Reservation(msgspec.Struct, frozen=True):
    """Room for one call: `nano` nanodollars are held in each counter. `warnings` are for whoever called."""

    counters: tuple[Counter, ...] = ()
    nano: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def headers(self) -> Mapping[str, str]:
        """What the answer says about the budgets."""
        return {WARNING_HEADER: "; ".join(self.warnings)} if self.warnings else {}


class Refusal(msgspec.Struct, frozen=True):
    """Why there is no room. `retry_after_s`: whole seconds until it is worth asking again.

    `should_retry`: False where only time or a person can help, so that a client need not try at once. `scopes` are
    those of the budgets that have no room: of the named `budget` first.
    """

    why: Why
    budget: str
    message: str
    status: int
    retry_after_s: int
    should_retry: bool
    scopes: tuple[ScopeKind, ...]

    @property
    def of_place(self) -> bool:
        """Whether there may be room elsewhere: for another model, or at another provider."""
        return all(scope.of_place for scope in self.scopes)

    @property
    def headers(self) -> Mapping[str, str]:
        """What tells the SDKs not to try again where that cannot help."""
        return {} if self.should_retry else {"x-should-retry": "false"}


class BatchReservation(msgspec.Struct, frozen=True):
    """Room for a batch while the call that makes it is in flight: what is held in each counter, in nanodollars."""

    needs: Mapping[Counter, int] = {}
    warnings: tuple[str, ...] = ()

    @property
    def counters(self) -> tuple[Counter, ...]:
        """In which something is held."""
        return tuple(self.needs)

    @property
    def nano(self) -> int:
        """What is held where most is: all that the batch may cost, but for budgets of one model."""
        return max(self.needs.values(), default=0)

    @property
    def headers(self) -> Mapping[str, str]:
        """What the answer says about the budgets."""
        return Reservation(warnings=self.warnings).headers


#: For a call that no budget counts.
FREE: Final = Reservation()
