"""Changes of stored rules, prepared: what will be stored and the statements for it, so that many commit as one.

Each leaves a version (but a deletion) and a line of the audit log. A rule that a file provides is changed by that file
alone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from data.errors import ConflictError
from data.queries import rules as rows
from data.queries.rules import RuleRow
from data.store import Statement, Store
from engine import channel_store, rule_endings
from engine.audit import entries, new_id
from engine.errors import Fault, Overtaken, Refused
from engine.rule import Rule, to_json

P = ParamSpec("P")
T = TypeVar("T")
#: How often a change is tried: an evaluation takes a moment, and the next one comes a second later at the earliest.
ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Prepared:
    """One change: the rule as it will be (as it was, for a deletion), and what stores that."""

    row: RuleRow
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Together:
    """One change of several rules: as they will be (as they were, for a deletion), and what stores that."""

    rows: tuple[RuleRow, ...] = ()
    statements: tuple[Statement, ...] = ()


def creating(
    rule: Rule, *, by: str, at: datetime, enabled: bool = True, provisioned_from: str = "", action: str = "create"
) -> Prepared:
    """A new rule."""
    row = RuleRow(
        new_id(), rule.name, rule.severity.value, enabled, 1, to_json(rule), at, at, provisioned_from=provisioned_from
    )
    return Prepared(
        row, (rows.unnamed(row), rows.adding(row), rows.versioning([row], by=by), _line(row, action, by, at))
    )


def editing(
    store: Store,
    old: RuleRow,
    rule: Rule,
    *,
    by: str,
    at: datetime,
    enabled: bool | None = None,
    provisioned_from: str = "",
    action: str = "update",
) -> Prepared:
    """Another document, or other switch, for a rule; raises Refused where a file provides it that is not this one."""
    check_owner(old, provisioned_from)
    row = replace(
        old,
        name=rule.name,
        severity=rule.severity.value,
        enabled=old.enabled if enabled is None else enabled,
        version=old.version + 1,
        document=to_json(rule),
        updated_at=at,
        provisioned_from=provisioned_from,
    )
    ended = rule_endings.after_edit(store, old, row, rule, at)
    return Prepared(row, (rows.replacing(row), rows.versioning([row], by=by), *ended, _line(row, action, by, at)))


def switching(store: Store, old: RuleRow, *, enabled: bool, by: str, at: datetime) -> Prepared:
    """The rule on or off; raises Refused where a file provides it."""
    made = switching_all(store, [old], enabled=enabled, by=by, at=at)
    return Prepared(made.rows[0], made.statements)


def switching_all(store: Store, olds: Sequence[RuleRow], *, enabled: bool, by: str, at: datetime) -> Together:
    """Rules on or off; raises Refused where a file provides one."""
    for old in olds:
        check_owner(old)
    changed = [replace(old, enabled=enabled, version=old.version + 1, updated_at=at) for old in olds]
    if not changed:
        return Together()
    ended = rule_endings.end_all(store, olds, rule_endings.forgotten if enabled else rule_endings.paused, at)
    line = _lines(changed, "enable" if enabled else "disable", by, at)
    return Together(tuple(changed), (rows.switching(changed), rows.versioning(changed, by=by), *ended, line))


def removing(store: Store, row: RuleRow, *, by: str, at: datetime, provisioned_from: str = "") -> Prepared:
    """No such rule any more; raises Refused where a file provides it that is not this one."""
    check_owner(row, provisioned_from)
    return Prepared(row, removing_all(store, [row], by=by, at=at).statements)


def removing_all(store: Store, gone: Sequence[RuleRow], *, by: str, at: datetime) -> Together:
    """No such rules any more, whoever provides them."""
    if not gone:
        return Together()
    ended = rule_endings.end_all(store, gone, rule_endings.deleted, at)
    return Together(tuple(gone), (*rows.removing(gone), *ended, _lines(gone, "delete", by, at)))


def check_owner(row: RuleRow, provisioned_from: str = "") -> None:
    """Raise Refused for a change of a provided rule that does not come from a file."""
    if row.provisioned_from and not provisioned_from:
        raise Refused(
            f"the rule {row.name!r} is provided by the file {row.provisioned_from}: "
            "change it there, or take it out of the file"
        )


def taken_name(store: Store, rule: Rule, old: RuleRow | None = None) -> Iterator[Fault]:
    """That another rule has the name that is new to this one: files, and people, know rules by their names."""
    if old is not None and old.name == rule.name:
        return
    if rows.named(store, rule.name):
        yield Fault("name", f"is taken: there is a rule {rule.name!r}")


def unknown_channels(store: Store, rule: Rule) -> Iterator[Fault]:
    """The channels a rule names that do not exist."""
    if not rule.notify:  # and therefore no fallback
        return
    known = channel_store.names(store)
    steps = [(f"escalate[{n}].notify", step.notify) for n, step in enumerate(rule.escalate)]
    warned = ("warn_notify", rule.warn_notify or ())
    for field, named in (("notify", rule.notify), warned, ("fallback", rule.fallback), *steps):
        for n, name in enumerate(named):
            if name not in known:
                yield Fault(f"{field}[{n}]", f"there is no channel {name!r}; known are {', '.join(known)}")


def commit(store: Store, changes: Iterable[Prepared | Together]) -> None:
    """Store them, all or none; raises Overtaken when a rule or one of its incidents changed meanwhile."""
    statements = [statement for change in changes for statement in change.statements]
    if not statements:
        return
    try:
        store.transact(statements)
    except ConflictError as error:
        raise Overtaken("a rule or one of its incidents changed meanwhile; read it again") from error


def persistent(change: Callable[P, T]) -> Callable[P, T]:
    """Begins again where it is overtaken: the engine changes what fires at every evaluation.

    What it reads it must read each time, so that whoever named a version hears that it has passed.
    """

    @wraps(change)
    def changed(*args: P.args, **options: P.kwargs) -> T:
        for _ in range(ATTEMPTS - 1):
            with suppress(Overtaken):
                return change(*args, **options)
        return change(*args, **options)

    return changed


def _line(row: RuleRow, action: str, by: str, at: datetime) -> Statement:
    return _lines([row], action, by, at)


def _lines(changed: Iterable[RuleRow], action: str, by: str, at: datetime) -> Statement:
    return entries(by, action, "rule", {row.id: _detail(row) for row in changed}, at=at)


def _detail(row: RuleRow) -> dict[str, Any]:
    detail = {"name": row.name, "version": row.version, "enabled": row.enabled}
    return {**detail, "provisioned_from": row.provisioned_from} if row.provisioned_from else detail
