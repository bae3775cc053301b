"""One act for many rules: switched on or off, or deleted; all or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from data.queries import rules as rows
from data.queries.rules import RuleRow
from data.store import Store
from engine.audit import clock
from engine.errors import NotFound, Refused, StaleVersion
from engine.rule_changes import Together, commit, persistent, removing_all, switching_all


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


@persistent
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
    found = _found(store, rule_ids, versions or {})
    due = [row for row in found if action is RuleAction.DELETE or row.enabled != (action is RuleAction.ENABLE)]
    _check_owners(due)
    made = _made(store, action, due, by, at or clock())
    commit(store, [made])
    now = {row.id: row.version for row in made.rows}
    return [Done(row.id, _DONE[action], now.get(row.id, row.version), row.id in now) for row in found]


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


def _made(store: Store, action: RuleAction, due: Sequence[RuleRow], by: str, at: datetime) -> Together:
    if action is RuleAction.DELETE:
        return removing_all(store, due, by=by, at=at)
    return switching_all(store, due, enabled=action is RuleAction.ENABLE, by=by, at=at)
