"""Stored documents made into plans."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from data.budgets import Budget, parse
from data.counters.rows import Document, Known
from proxy.budget.plan import Plan

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Compiled:
    """The plans that are switched on, all documents read, and what was wrong with those that cannot be."""

    plans: tuple[Plan, ...] = ()
    read: Mapping[Document, Budget] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


def compiled(known: Known, before: Compiled) -> Compiled:
    """Return the plans of what is known; a plan whose counters are those of one from before takes over its memory."""
    read, faults = dict[Document, Budget](), list[str]()
    for document in known.documents:
        try:
            read[document] = before.read.get(document) or parse(document.document)
        except ValidationError as error:
            faults.append(f"the budget {document.id} cannot be read ({error.error_count()} faults)")
    for fault in set(faults) - set(before.faults):
        _log.error("%s", fault)
    kept = {(plan.id, plan.number): plan for plan in before.plans}
    plans = [_plan(document, budget, known, kept) for document, budget in read.items() if budget.enabled]
    return Compiled(tuple(plans), read, tuple(faults))


def _plan(document: Document, budget: Budget, known: Known, kept: Mapping[tuple[str, int | None], Plan]) -> Plan:
    number = known.counted.get((document.id, budget.shape))
    plan = kept.get((document.id, number))
    if plan is None or number is None:
        learned = known.learned.get(document.id, 0)
        return Plan(document.id, document.version, budget, number, budget.schedule, learned)
    if plan.version != document.version:
        plan.version, plan.budget = document.version, budget
        for counter in plan.counters.values():
            counter.until_us = 0  # its terms may be others now
    return plan
