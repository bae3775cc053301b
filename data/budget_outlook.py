"""Where a budget's spending leads, and which of its thresholds it has reached. Pure."""

from typing import Final

from data.budget_periods import NEVER, Span
from data.budgets import Budget, Window

#: Before this part of a period has passed nothing is forecast: two calls in the first minute tell nothing of a month.
_TELLING: Final = 20


def forecast(budget: Budget, spent: int, span: Span, now_us: int) -> int | None:
    """Return what will be spent at the period's end if it goes on as it did since its beginning: linear.

    None where there is no end (a rolling window, a budget for once without an expiry), or it is too early to tell.
    """
    length, passed = span.end_us - span.start_us, now_us - span.start_us
    if budget.window is Window.ROLLING or span.end_us >= NEVER or span.start_us <= 0 or passed * _TELLING < length:
        return None
    return spent * length // passed


def reached(budget: Budget, limit: int, spent: int, span: Span, now_us: int) -> tuple[str, ...]:
    """Return the thresholds that are reached: `80%`, and `forecast` where the period will end over the limit."""
    if not spent:
        return ()
    names = [f"{threshold}%" for threshold in budget.thresholds if spent * 100 >= threshold * limit]
    ahead = forecast(budget, spent, span, now_us) if budget.forecast else None
    return (*names, "forecast") if ahead is not None and ahead > limit else tuple(names)


def life(budget: Budget, now_us: int) -> Span:
    """Return the period that `now_us` lies in; a budget for once ends when it expires."""
    span = budget.schedule.bucket(now_us)
    if budget.expires_us < span.end_us:
        return Span(span.start_us, budget.expires_us)
    return span
