"""What can be done to budgets. Each change is made from the version it was seen in, and leaves an audit row."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
import uuid_utils
from pydantic import ValidationError

from data.budgets import Budget, Grant, Period, Raise, at_once, parse, to_json
from data.errors import BudgetFault, ConflictError, NoSuchBudget
from data.protocol import Change, naive_utc
from data.queries import budgets as rows
from data.queries.budgets import BudgetRow, Reader


class BudgetStore(Reader, Protocol):
    """A connection that answers with plain rows and takes changes; `data.connection.Connection` is one."""

    def transact(self, changes: "list[Change]") -> list[int]:
        """Run changes, all or none. Raises `ConflictError`."""
        ...


class Stored(msgspec.Struct, frozen=True):
    """A budget as it is kept. Times are aware UTC."""

    id: str
    version: int
    budget: Budget
    created_at: datetime
    updated_at: datetime


def read(raw: Mapping[str, Any]) -> Budget:
    """Return the document. Raises `BudgetFault`, which names every faulty field."""
    try:
        return Budget.model_validate(raw)
    except ValidationError as error:
        raise BudgetFault(told(error)) from error


def told(error: ValidationError) -> str:
    """Every faulty field and what is wrong with it."""
    return "; ".join(_told(fault) for fault in error.errors(include_url=False))


def every(store: Reader) -> list[Stored]:
    """All budgets by name; a document that cannot be read is left out."""
    found = list[Stored]()
    for row in rows.every(store):
        try:
            found.append(_stored(row))
        except ValidationError:
            continue
    return found


def get(store: Reader, named: str) -> Stored:
    """The budget of that id or name. Raises `NoSuchBudget`, and `BudgetFault` for one that cannot be read."""
    for row in rows.every(store):
        if named in {row.id, row.name}:
            try:
                return _stored(row)
            except ValidationError as error:
                raise BudgetFault(f"the stored budget {named!r} cannot be read: {told(error)}") from error
    raise NoSuchBudget(f"there is no budget {named!r}")


def create(store: BudgetStore, budget: Budget, *, by: str, now: datetime) -> Stored:
    """Add a budget. Raises `ConflictError` for a name in use."""
    stored = Stored(str(uuid_utils.uuid7()), 1, at_once(now, budget), now, now)
    try:
        store.transact([rows.adding(_row(stored)), _audit(stored, by, "create")])
    except ConflictError as error:
        raise ConflictError(f"a budget named {budget.name!r} is there already; choose another name") from error
    return stored


def replace(
    store: BudgetStore, named: str, budget: Budget, *, by: str, now: datetime, version: int | None = None
) -> Stored:
    """Change what a budget says. Raises `NoSuchBudget`, `ConflictError`."""
    old = get(store, named)
    if budget.period is Period.ONCE and budget.starts_at is None:
        budget = at_once(old.budget.starts_at or now, budget)
    return _changed(store, old, budget, by=by, action="replace", now=now, version=version)


def remove(store: BudgetStore, named: str, *, by: str, now: datetime, version: int | None = None) -> Stored:
    """Delete a budget. Raises `NoSuchBudget`, `ConflictError`."""
    old = get(store, named)
    _check(old, version)
    gone = msgspec.structs.replace(old, updated_at=now)
    store.transact([rows.removing(_row(old)), _audit(gone, by, "delete")])
    return gone


def raise_for_a_while(store: BudgetStore, named: str, more: Raise, *, by: str, now: datetime) -> Stored:
    """Add money until a time. Raises `NoSuchBudget`, `ConflictError`, `BudgetFault`."""
    old = get(store, named)
    raises = [*(each for each in old.budget.raises if each.until > now), more]
    return _changed(store, old, _with(old.budget, raises=raises), by=by, action="raise", now=now)


def grant(store: BudgetStore, named: str, more: Grant, *, by: str, now: datetime) -> Stored:
    """Add prepaid money. Raises `NoSuchBudget`, `ConflictError`, `BudgetFault`."""
    old = get(store, named)
    budget = _with(old.budget, grants=[*old.budget.grants, more])
    return _changed(store, old, budget, by=by, action="grant", now=now)


def _with(budget: Budget, **changes: Any) -> Budget:
    """The budget with changes, checked as a whole."""
    return read({**budget.model_dump(by_alias=True), **{k: [_dumped(x) for x in v] for k, v in changes.items()}})


def _dumped(entry: Raise | Grant) -> dict[str, Any]:
    return entry.model_dump(by_alias=True)


def _changed(
    store: BudgetStore, old: Stored, budget: Budget, *, by: str, action: str, now: datetime, version: int | None = None
) -> Stored:
    _check(old, version)
    new = Stored(old.id, old.version + 1, budget, old.created_at, now)
    try:
        store.transact([rows.replacing(_row(new)), _audit(new, by, action)])
    except ConflictError as error:
        said = f"the budget {old.budget.name!r} was changed meanwhile, or the name {budget.name!r} is another one's"
        raise ConflictError(f"{said}; read it again") from error
    return new


def _check(old: Stored, version: int | None) -> None:
    if version is not None and version != old.version:
        said = f"the budget {old.budget.name!r} has version {old.version} by now, not {version}"
        raise ConflictError(f"{said}; read it again")


def _stored(row: BudgetRow) -> Stored:
    created, updated = row.created_at.replace(tzinfo=UTC), row.updated_at.replace(tzinfo=UTC)
    return Stored(row.id, row.version, parse(row.document), created, updated)


def _row(stored: Stored) -> BudgetRow:
    return BudgetRow(
        id=stored.id,
        name=stored.budget.name,
        version=stored.version,
        document=to_json(stored.budget),
        created_at=naive_utc(stored.created_at),
        updated_at=naive_utc(stored.updated_at),
    )


def _audit(stored: Stored, by: str, action: str) -> Change:
    entry = str(uuid_utils.uuid7())
    return rows.auditing(entry, _row(stored), actor=by, action=f"budget.{action}", at=stored.updated_at)


def _told(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "the budget"
    said = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {said[0].lower()}{said[1:]}"
