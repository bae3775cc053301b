"""Drops what the configuration does not want kept any longer, unless something still needs it."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from pydantic import ValidationError

from data.budget_periods import from_us, to_us
from data.budgets import Budget
from data.config import RetentionConfig
from data.queries import alert_days
from data.queries import budgets as budget_rows
from data.queries import rules as rule_rows
from data.retention import Cut, count, cuts, drop
from data.store import Store
from engine.desk import Desk
from engine.episode import memory
from engine.errors import RuleError
from engine.housekeeping.job import Job
from engine.kept_days import bring_up_to_date
from engine.rules import watched

_EVERY = timedelta(days=1)
#: The kinds that each day's figures are counted from.
_COUNTED = ("incidents", "deliveries")


def dropping(desk: Desk) -> Job:
    """The job; what it would drop can be asked for."""

    async def run(at: datetime) -> str:
        return await asyncio.to_thread(_drop, desk.store, desk.config.retention, at)

    async def rehearse(at: datetime) -> str:
        return await asyncio.to_thread(_count, desk.store, desk.config.retention, at)

    return Job("retention", "Drop what is older than it is to be kept", _EVERY, run, rehearse)


def floors(store: Store, at: datetime) -> dict[str, tuple[datetime, str]]:
    """By kind, from when on it is needed all the same, and what for."""
    return {**_counted_by_budgets(store, at), **_remembered_by_rules(store, at)}


def _counted_by_budgets(store: Store, at: datetime) -> Mapping[str, tuple[datetime, str]]:
    """A budget whose counters are lost is counted anew from the requests of its present period."""
    needed = []
    for row in budget_rows.every(store):
        try:
            budget = Budget.model_validate_json(row.document)
        except ValidationError:
            continue  # nobody counts it
        if budget.enabled:
            begins = from_us(budget.schedule.counts(to_us(at)).start_us)
            needed.append((begins, f"the budget {budget.name!r} counts from there"))
    return {"requests": min(needed)} if needed else {}


def _remembered_by_rules(store: Store, at: datetime) -> Mapping[str, tuple[datetime, str]]:
    """What a channel was told decides for a rule's longest repeat whether it is told again."""
    rules = []
    for row in rule_rows.every(store):
        try:
            rules.append(watched(row).rule)
        except RuleError:
            continue  # it is not evaluated
    return {"deliveries": (at - memory(rules), "a rule's repeat or cooldown looks back as far")}


def _drop(store: Store, settings: RetentionConfig, at: datetime) -> str:
    wanted = cuts(settings, at, floors(store, at))
    counted = [cut.before for cut in wanted if cut.kind in _COUNTED]
    if counted:  # what goes now can never be counted again
        bring_up_to_date(store, settings, at)
        store.transact([alert_days.closing(max(counted))])
    return _told([(cut, drop(store, cut)) for cut in wanted], "dropped")


def _count(store: Store, settings: RetentionConfig, at: datetime) -> str:
    wanted = cuts(settings, at, floors(store, at))
    return _told([(cut, count(store, cut)) for cut in wanted], "would drop")


def _told(done: list[tuple[Cut, dict[str, int]]], verb: str) -> str:
    if not done:
        return "everything is kept for ever"
    return "; ".join(_line(cut, rows, verb) for cut, rows in done)


def _line(cut: Cut, rows: Mapping[str, int], verb: str) -> str:
    counts = ", ".join(f"{n:,} of {table}" for table, n in rows.items())
    back = f" (held back: {cut.held_back})" if cut.held_back else ""
    return f"{verb} {counts} from before {cut.before:%Y-%m-%d %H:%M}{back}"
