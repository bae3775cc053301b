"""How the budgets stand, as the API shows it."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from data import budget_outlook as outlook
from data.budget_periods import NEVER, Rolling, from_us
from data.budgets import ANY, Budget
from data.counters import reports
from data.counters.file import CounterFile
from data.counters.rows import Crossing, Group
from proxy.budget.budgets import Budgets
from proxy.budget.money import usd
from proxy.budget.plan import Plan

MOST_GROUPS: Final = 1_000
_MOST_EVENTS: Final = 100


def standing(
    budgets: Budgets, now_us: int, *, name: str = "", kind: str = "", value: str = "", limit: int = MOST_GROUPS
) -> list[dict[str, Any]]:
    """Every budget that is switched on, with its groups: those in which something is spent or held, the greatest first.

    `name`, `kind` (of scope) and `value` choose some; `limit` is of groups a budget. Money is dollars, exact.
    Raises CountersError.
    """
    budgets.tick(now_us)  # what has just ended is counted
    wanted = (
        plan
        for plan in budgets.plans.all
        if name in {"", plan.budget.name} and kind in {"", plan.budget.scope.kind.value}
    )
    chosen = _Chosen(value, limit)
    return [_standing(budgets.file, plan, now_us, chosen) for plan in sorted(wanted, key=lambda p: p.budget.name)]


def uses(budgets: Budgets, now_us: int) -> list[tuple[str, float, float]]:
    """How much each budget's fullest group is used: name, dollars spent and held, dollars that it may be.

    It reads the counters' file once a budget. Raises CountersError.
    """
    found = []
    for plan in budgets.plans.all:
        if budgets.file is None or plan.number is None:
            continue
        cap, _ = plan.terms(now_us)
        groups = _found(budgets.file, plan, plan.number, now_us, _Chosen("", 1))
        used = max((group.spent + _held(plan, group) for group in groups), default=0)
        found.append((plan.budget.name, used / 1e9, cap / 1e9))
    return found


class _Chosen(NamedTuple):
    """Which groups are shown."""

    value: str
    limit: int


def _standing(file: CounterFile | None, plan: Plan, now_us: int, chosen: _Chosen) -> dict[str, Any]:
    budget, span = plan.budget, outlook.life(plan.budget, now_us)
    cap, _ = plan.terms(now_us)
    groups, events = list[Any](), list[Any]()
    if file is not None and plan.number is not None:
        found = _found(file, plan, plan.number, now_us, chosen)
        groups = [_group(file, plan, plan.number, group, now_us) for group in found]
        events = [_event(event, budget) for event in reports.crossings(file, plan.number, _MOST_EVENTS)]
    return {
        "id": plan.id,
        "name": budget.name,
        "version": plan.version,
        "scope": budget.scope.model_dump(mode="json"),
        "period": budget.period.value,
        "window": budget.window.value,
        "time_zone": budget.time_zone,
        "enforcement": budget.enforcement.value,
        "amount_usd": _plain(budget.amount_usd),
        "limit_usd": _money(cap),
        "counted": plan.number is not None,
        "period_start": _local(span.start_us if span.start_us > 0 else None, budget.time_zone),
        "period_end": None if isinstance(plan.schedule, Rolling) else _local(span.end_us, budget.time_zone),
        "groups": groups,
        "events": events,
    }


def _found(file: CounterFile, plan: Plan, number: int, now_us: int, chosen: _Chosen) -> list[Group]:
    counts, alone = plan.schedule.counts(now_us), plan.budget.scope.value
    if chosen.value:
        return [reports.group(file, number, chosen.value, counts)]
    return reports.groups(file, number, counts, chosen.limit) or ([Group(alone, 0, 0)] if alone != ANY else [])


def _held(plan: Plan, group: Group) -> int:
    """What calls may still cost: what is leased, without what this proxy has leased and no call holds."""
    counter = plan.counters.get(group.value)
    return max(group.leased - (max(counter.free, 0) if counter is not None else 0), 0)


def _group(file: CounterFile, plan: Plan, number: int, group: Group, now_us: int) -> dict[str, Any]:
    cap, _ = plan.terms(now_us)
    held = _held(plan, group)
    remaining = max(cap - group.spent - held, 0)
    ahead = outlook.forecast(plan.budget, group.spent, outlook.life(plan.budget, now_us), now_us)
    return {
        "value": group.value,
        "spent_usd": _money(group.spent),
        "held_usd": _money(held),
        "held_by_batches_usd": _money(group.batches),
        "remaining_usd": _money(remaining),
        "over_usd": _money(max(group.spent - cap, 0)),
        "used_percent": round(100 * group.spent / cap, 3) if cap else (100.0 if group.spent else 0.0),
        "forecast_usd": None if ahead is None else _money(ahead),
        "resets_at": _local(_resets(file, plan, number, group, now_us), plan.budget.time_zone),
    }


def _resets(file: CounterFile, plan: Plan, number: int, group: Group, now_us: int) -> int:
    """When the period ends; of a rolling window, when the oldest of what counts leaves it."""
    buckets = list[tuple[int, int]]()
    if isinstance(plan.schedule, Rolling):
        buckets = reports.buckets(file, number, group.value, plan.schedule.counts(now_us))
    return plan.schedule.frees(now_us, buckets, 1)


def _event(crossing: Crossing, budget: Budget) -> dict[str, Any]:
    return {
        "value": crossing.value,
        "threshold": crossing.name,
        "at": _local(crossing.at, budget.time_zone),
        "spent_usd": _money(crossing.used),
        "limit_usd": _money(crossing.amount),
    }


def _money(nano: int) -> Decimal:
    return _plain(usd(nano))


def _plain(amount: Decimal) -> Decimal:
    """An amount without an exponent and without zeros at its end."""
    return Decimal(format(amount.normalize(), "f"))


def _local(at_us: int | None, zone: str) -> str | None:
    if at_us is None or at_us >= NEVER:
        return None
    at: datetime = from_us(at_us).astimezone(ZoneInfo(zone))
    return at.isoformat()
