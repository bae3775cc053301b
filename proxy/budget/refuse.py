"""Why a call is refused, in words for whoever made it. Pure."""

from collections.abc import Sequence
from datetime import datetime
from math import ceil
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from data.budget_periods import NEVER, SECOND_US, Period, Window, from_us
from data.budgets import ANY, Budget
from proxy.budget.money import shown
from proxy.budget.plan import Counter, Plan
from proxy.budget.reservation import Refusal, Why

#: What a client is told that need only wait for calls in flight, or for the store.
_SOON_S: Final = 1
_LATER_S: Final = 5
#: The same for results of batches, which come within a day.
_RESULTS_S: Final = 60
_AT_ONCE: Final = "Ask again in a moment."
_ONCE_READ: Final = "There is room again when the batches' results have been fetched."
#: What is said of a body that cannot be read to the end.
UNREADABLE: Final = (
    "Its compressed body cannot be read here: send it plain, or as gzip, deflate, br or zstd of less than 8 MiB when "
    "decoded."
)
#: A header of the client's time may be kept in 32 bits.
_MOST_S: Final = 2**31 - 1


class Shortage(NamedTuple):
    """A counter without room for a call. `settled`: what this proxy knows to be spent besides `spent`.

    `batches`: what is held for batches, of what is `leased`.
    """

    counter: Counter
    spent: int
    leased: int
    settled: int
    need: int
    batches: int = 0

    @property
    def left(self) -> int:
        """What is left once nothing is held."""
        return self.counter.limit - self.spent - self.settled

    @property
    def gone(self) -> bool:
        """Whether there will be no room however the calls in flight end."""
        return self.left < self.need

    @property
    def awaits_results(self) -> bool:
        """Whether there will be no room before results of batches are read, however the calls in flight end."""
        return not self.gone and self.left - self.batches < self.need


def tightest(shortages: Sequence[Shortage]) -> Shortage:
    """Return the one to name: where waiting for calls does not help, and there the one with the least left."""
    return min(shortages, key=lambda s: (not s.gone, s.left))


def no_room(shortage: Shortage, now_us: int, frees_us: int, others: Sequence[Shortage] = ()) -> Refusal:
    """Return the refusal. `frees_us`: when there is room again by the calendar alone, NEVER for never.

    `others`: what else has no room for the call, though only the one `shortage` is named.
    """
    counter, gone = shortage.counter, shortage.gone
    held = max(shortage.leased - shortage.batches - shortage.settled, 0)
    said = [
        f"{shown(shortage.spent + shortage.settled)} of {shown(counter.limit)} spent",
        *([f"{shown(held)} held by calls in flight"] if held else []),
        *([f"{shown(shortage.batches)} held by batches"] if shortage.batches else []),
        f"this call may cost up to {shown(shortage.need)}",
    ]
    then = _then(counter.plan.budget, frees_us) if gone else _ONCE_READ if shortage.awaits_results else _AT_ONCE
    if shortage.need > counter.limit:
        then = f"No call of this size fits; a lower limit of output tokens makes it smaller. {then}".strip()
    return Refusal(
        why=Why.EXCEEDED if gone else Why.HELD,
        budget=counter.plan.budget.name,
        message=f"The budget {named(counter)} has no room for this call: {', '.join(said)}. {then}".strip(),
        status=429,
        retry_after_s=_until(frees_us, now_us) if gone else _RESULTS_S if shortage.awaits_results else _SOON_S,
        should_retry=not (gone or shortage.awaits_results),
        scopes=tuple(each.counter.plan.budget.scope.kind for each in (shortage, *others)),
    )


def unpriced(plan: Plan, model: str) -> Refusal:
    """Return the refusal of a model without a price; '' for a call that does not tell which it asks."""
    why, remedy = "the call does not tell what it may cost", "Whoever keeps the budget may"
    if model:
        why = f"no price is known for the model {model!r}"
        remedy = "Give it one in the configuration (prices), or"
    message = f'The budget {plan.budget.name!r} cannot be kept: {why}. {remedy} set [budgets] unpriced = "allow".'
    return _of_plan(plan, Why.UNPRICED, message, 429, should_retry=False)


def unreadable(plan: Plan) -> Refusal:
    """Return the refusal of a call whose body nobody here can decode."""
    message = f"The budget {plan.budget.name!r} cannot be kept: the call does not tell what it may cost. {UNREADABLE}"
    return _of_plan(plan, Why.UNPRICED, message, 429, should_retry=False)


def batch(plan: Plan) -> Refusal:
    """Return the refusal of a new batch."""
    message = (
        f"The budget {plan.budget.name!r} cannot be kept: what a batch costs is only known when its results are "
        'fetched. Whoever keeps the budget may set [budgets] batches = "allow".'
    )
    return _of_plan(plan, Why.BATCH, message, 429, should_retry=False)


def unknown(plan: Plan, trouble: str) -> Refusal:
    """Return the refusal while nobody knows what was spent."""
    message = f"What was spent of the budget {plan.budget.name!r} is not known at the moment ({trouble}); ask again."
    return _of_plan(plan, Why.UNKNOWN, message, 503, should_retry=True)


def warning(counter: Counter) -> str:
    """Return what is said of a soft budget that is used up."""
    spent = shown(counter.spent + counter.settled)
    return _header_text(f"the budget {named(counter)} is used up: {spent} of {shown(counter.limit)} spent")


def unknown_warning(plan: Plan) -> str:
    """Return what is said of a call that was let through though nothing is known of its budget."""
    return _header_text(f"what was spent of the budget {plan.budget.name!r} is not known at the moment")


def named(counter: Counter) -> str:
    """Return a budget's name, and whose counter it is where each value has one."""
    budget = counter.plan.budget
    each = f" ({budget.scope.kind} {counter.value!r})" if budget.scope.value == ANY else ""
    return f"{budget.name!r}{each}"


def _of_plan(plan: Plan, why: Why, message: str, status: int, *, should_retry: bool) -> Refusal:
    return Refusal(why, plan.budget.name, message, status, _LATER_S, should_retry, (plan.budget.scope.kind,))


def _then(budget: Budget, frees_us: int) -> str:
    if frees_us >= NEVER:
        return "It does not renew itself; whoever keeps it may raise it."
    if budget.period is not Period.ONCE and budget.window is Window.CALENDAR:
        return f"It resets at {_local(frees_us, budget.time_zone)}."
    return f"There is room again at {_local(frees_us, budget.time_zone)}."


def _local(at_us: int, zone: str) -> str:
    at: datetime = from_us(at_us).astimezone(ZoneInfo(zone))
    return at.isoformat(timespec="seconds")


def _until(frees_us: int, now_us: int) -> int:
    return min(max(ceil((frees_us - now_us) / SECOND_US), _SOON_S), _MOST_S)


def _header_text(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
