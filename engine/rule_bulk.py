"""One act for many rules: switched on or off, or deleted; all or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from data.queries import rules as rows
from data.queries.rules import RuleRow
from data.store import Statement, Store
from engine import rule_endings
from engine.audit import clock
from engine.errors import NotFound, Refused, StaleVersion
from engine.rule_changes import Prepared, commit, removed, switched

#: How often it is tried again when an evaluation changed an incident of one of them at the same time.
_TRIES = 5


class RuleAction(StrEnum):
    """What can be done to many rules at once."""

    ENABLE = "enable"
    DISABLE = "disable"
    DELETE = "delete"


_DONE = {RuleAction.ENABLE: "enabled", RuleAction.DISABLE: "disabled", RuleAction.DELETE: "deleted"}


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one rule: how it is and its version now (deleted: its last), and whether this changed it."""

    id: str
    status: str
    version: int
    changed: bool


def act(
    store: Store,
    action: RuleAction,
    rule_ids: Sequence[str],
    *,
    by: str,
    versions: Mapping[str, int] | None = None,
    at: datetime | None = None,
) -> list[Done]:
    """Do it to each rule, once, in the order asked for, all or none; those that are so already stay as they are.

    `versions` are those that the person saw, by id. Raises NotFound, Refused naming the rules that files provide, or
    StaleVersion where somebody changed one since or evaluations keep changing their incidents.
    """
    now = at or clock()
    for _ in range(_TRIES):
        found = _found(store, rule_ids, versions or {})
        due = [row for row in found if action is RuleAction.DELETE or row.enabled != (action is RuleAction.ENABLE)]
        _check_owners(due)
        made = {row.id: _prepared(action, row, by, now) for row in due}
        try:
            commit(store, made.values(), _ends(store, action, due, now))
        except StaleVersion:
            continue
        is_now = {row.id: row for row in found} | {rule_id: change.row for rule_id, change in made.items()}
        return [Done(row.id, _DONE[action], is_now[row.id].version, row.id in made) for row in found]
    raise StaleVersion("the rules and their incidents keep changing; nothing was done, try again")


def _found(store: Store, rule_ids: Sequence[str], versions: Mapping[str, int]) -> list[RuleRow]:
    wanted = list(dict.fromkeys(rule_ids))
    known = {row.id: row for row in rows.by_ids(store, wanted)}
    unknown = [rule_id for rule_id in wanted if rule_id not in known]
    if unknown:
        raise NotFound(f"there is no rule {', '.join(unknown)}")
    stale = [each for each in wanted if versions.get(each, known[each].version) != known[each].version]
    if stale:
        raise StaleVersion(f"somebody has changed {', '.join(stale)} meanwhile; nothing was done, read it again")
    return [known[rule_id] for rule_id in wanted]


def _check_owners(due: Sequence[RuleRow]) -> None:
    provided = [f"{row.name!r} by {row.provisioned_from}" for row in due if row.provisioned_from]
    if provided:
        raise Refused(f"provided by files, which alone change them: {', '.join(provided)}; nothing was done")


def _prepared(action: RuleAction, row: RuleRow, by: str, at: datetime) -> Prepared:
    if action is RuleAction.DELETE:
        return removed(row, by=by, at=at)
    return switched(row, enabled=action is RuleAction.ENABLE, by=by, at=at)


def _ends(store: Store, action: RuleAction, due: Sequence[RuleRow], at: datetime) -> list[Statement]:
    switch = rule_endings.of_switch(enabled=action is RuleAction.ENABLE)
    return rule_endings.end_all(store, due, rule_endings.deleted if action is RuleAction.DELETE else switch, at)
