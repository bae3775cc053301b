"""Whether the proxy is well. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """One check's result, or the sum of all."""

    OK = "ok"
    DEGRADED = "degraded"  # calls are served, but something needs care
    FAILING = "failing"  # calls are refused


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; `detail` says what was found, with numbers."""

    status: Status
    detail: str


@dataclass(frozen=True, slots=True)
class Condition:
    """What health is judged by. `store_trouble` is '' while the store takes records."""

    store_trouble: str
    spool_bytes: int
    spool_records: int
    spool_warn_bytes: int
    spool_trouble: str
    providers: int
    stopping: bool
    budget_trouble: str = ""
    limits_trouble: str = ""
    keys_missing: bool = False  # calls need a virtual key, and which there are is not known


def checks(condition: Condition) -> dict[str, Check]:
    """Return the checks by name."""
    return {
        "store": _store(condition),
        "spool": _spool(condition),
        "providers": _providers(condition),
        "budgets": _budgets(condition),
        "keys": _keys(condition),
        "limits": _limits(condition),
        "taking_calls": _taking(condition),
    }


def overall(found: dict[str, Check]) -> Status:
    """Return the worst status."""
    order = (Status.FAILING, Status.DEGRADED)
    statuses = {check.status for check in found.values()}
    return next((status for status in order if status in statuses), Status.OK)


def _store(condition: Condition) -> Check:
    if condition.store_trouble:
        return Check(Status.DEGRADED, f"The store takes no records: {condition.store_trouble}. They wait in the spool.")
    return Check(Status.OK, "The store takes records.")


def _spool(condition: Condition) -> Check:
    size = f"{condition.spool_records} records ({condition.spool_bytes} bytes) wait for the store"
    if condition.spool_trouble:
        return Check(Status.FAILING, f"The spool cannot be written: {condition.spool_trouble}; {size}.")
    if condition.spool_bytes > condition.spool_warn_bytes:
        return Check(Status.DEGRADED, f"{size}; the limit for a warning is {condition.spool_warn_bytes} bytes.")
    return Check(Status.OK, f"{size}.")


def _budgets(condition: Condition) -> Check:
    if condition.budget_trouble:
        return Check(Status.DEGRADED, f"Budgets cannot be kept as they should: {condition.budget_trouble}.")
    return Check(Status.OK, "Budgets are kept.")


def _keys(condition: Condition) -> Check:
    if condition.keys_missing:
        return Check(Status.FAILING, "The store has not told yet which virtual keys there are, and calls need one.")
    return Check(Status.OK, "Whoever has to show a virtual key can.")


def _limits(condition: Condition) -> Check:
    if condition.limits_trouble:
        why = condition.limits_trouble
        return Check(Status.DEGRADED, f"The limits of virtual keys cannot be kept with other proxies: {why}.")
    return Check(Status.OK, "The limits of virtual keys are kept.")


def _providers(condition: Condition) -> Check:
    if not condition.providers:
        return Check(Status.FAILING, "No provider is configured.")
    return Check(Status.OK, f"{condition.providers} configured.")


def _taking(condition: Condition) -> Check:
    if condition.stopping:
        return Check(Status.FAILING, "The proxy is stopping.")
    return Check(Status.OK, "New calls are taken.")
