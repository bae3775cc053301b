"""Rules as they are kept: saved with versions, switched on and off, deleted; the audit log has a line for each change.

What an edit, a pause or a deletion means for open incidents is committed with it: they end, and whoever was told of
them is told that.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from data.queries import rules as rows
from data.queries.rule_filter import RuleFilter
from data.queries.rules import RuleRow
from data.store import Store
from engine.audit import clock
from engine.episode import Watched
from engine.errors import NotFound, RuleError, StaleVersion
from engine.rule import Rule, document, kept, parse
from engine.rule_changes import (
    commit,
    creating,
    editing,
    persistent,
    removing,
    switching,
    taken_name,
    unknown_channels,
)
from engine.rule_endings import watched
from engine.sentence import sentence
from engine.state import WORST, State, worst

__all__ = [
    "Stored",
    "delete",
    "every",
    "expected",
    "get",
    "page",
    "present",
    "save",
    "stored",
    "toggle",
    "watched",
    "watched_by_id",
]


@dataclass(frozen=True, slots=True)
class Stored:
    """A rule as it is kept. `document` is what people wrote, as plain values; `fault` says why it cannot be read."""

    id: str
    name: str
    severity: str
    enabled: bool
    version: int
    document: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    sentence: str = ""
    fault: str = ""
    #: the worst instance's state, and how the evaluations go: ok, error, no_data, slow, '' before the first
    state: str = State.NORMAL.value
    health: str = ""
    health_message: str = ""
    evaluated_at: datetime | None = None
    #: the file that provides the rule and alone can change it, '' for none
    provisioned_from: str = ""
    #: what is wrong with that file now, so that the rule is as it was before; known to the worker only
    file_fault: str = ""


def every(store: Store) -> list[Stored]:
    """All rules by name, with their state and health."""
    standing = _standing(store)
    return [replace(stored(row), **standing.get(row.id, {})) for row in rows.every(store)]


def page(
    store: Store, wanted: RuleFilter, *, after: tuple[str, str] | None = None, limit: int | None = None
) -> list[Stored]:
    """Wanted rules by name as `every` has them, those after the rule of this name and id (None: from the first)."""
    found = rows.page(store, wanted, worst_first=WORST, after=after, limit=limit)
    standing = _standing(store, [row.id for row in found])
    return [replace(stored(row), **standing.get(row.id, {})) for row in found]


def get(store: Store, rule_id: str) -> Stored:
    """One rule; raises NotFound."""
    return present(store, _row(store, rule_id))


def present(store: Store, row: RuleRow) -> Stored:
    """A row as what people wrote, with its state and health now."""
    return replace(stored(row), **_standing(store, [row.id]).get(row.id, {}))


def watched_by_id(store: Store, rule_id: str) -> Watched:
    """The stored rule, ready to evaluate; raises NotFound or RuleError."""
    return watched(_row(store, rule_id))


@persistent
def save(
    store: Store,
    source: Mapping[str, Any] | str | Rule,
    *,
    by: str,
    rule_id: str | None = None,
    version: int | None = None,
    enabled: bool | None = None,
    at: datetime | None = None,
) -> Stored:
    """Add a rule, or change the one of `rule_id`; returns what is stored now.

    Raises RuleError with every fault of the document, or where its name is another's or its channels do not exist,
    NotFound, StaleVersion when the rule is not at `version` any more, and Refused where a file provides it. An edit
    that changes the result resets the instances; one of words or channels does not.
    """
    rule = source if isinstance(source, Rule) else parse(source)
    old = None if rule_id is None else expected(store, rule_id, version)
    if wrong := (*taken_name(store, rule, old), *unknown_channels(store, rule)):
        raise RuleError(wrong)
    now = at or clock()
    if old is None:
        made = creating(rule, by=by, at=now, enabled=enabled is not False)
    else:
        made = editing(store, old, rule, by=by, at=now, enabled=enabled)
    commit(store, [made])
    return present(store, made.row)


def toggle(
    store: Store,
    rule_id: str,
    *,
    by: str,
    enabled: bool | None = None,
    version: int | None = None,
    at: datetime | None = None,
) -> Stored:
    """Switch a rule on or off (None: the other way); switching off ends its incidents.

    Raises NotFound, StaleVersion, or Refused for a rule that a file provides.
    """
    chosen = not _row(store, rule_id).enabled if enabled is None else enabled
    return _switched(store, rule_id, chosen, by, version, at)


@persistent
def _switched(  # noqa: PLR0917 - all of it counts
    store: Store,
    rule_id: str,
    enabled: bool,  # noqa: FBT001
    by: str,
    version: int | None,
    at: datetime | None,
) -> Stored:
    old = expected(store, rule_id, version)
    if enabled == old.enabled:
        return get(store, rule_id)
    made = switching(store, old, enabled=enabled, by=by, at=at or clock())
    commit(store, [made])
    return present(store, made.row)


@persistent
def delete(store: Store, rule_id: str, *, by: str, version: int | None = None, at: datetime | None = None) -> None:
    """Remove a rule and end its incidents, whose history stays.

    Raises NotFound, StaleVersion, or Refused for a rule that a file provides.
    """
    commit(store, [removing(store, expected(store, rule_id, version), by=by, at=at or clock())])


def _row(store: Store, rule_id: str) -> RuleRow:
    row = rows.by_id(store, rule_id)
    if row is None:
        raise NotFound(f"there is no rule {rule_id!r}")
    return row


def expected(store: Store, rule_id: str, version: int | None) -> RuleRow:
    """The stored row, of which a change at `version` may be made; raises NotFound or StaleVersion."""
    row = _row(store, rule_id)
    if version is not None and row.version != version:
        raise StaleVersion(
            f"the rule is at version {row.version}, not {version}: somebody changed it; read it again",
            current=row.version,
        )
    return row


def stored(row: RuleRow) -> Stored:
    """A row as what people wrote, with its sentence; without the state of its instances."""
    raw, spoken, fault = orjson.loads(row.document), "", ""
    try:
        rule = kept(raw)
        raw, spoken = document(rule), sentence(rule)
    except RuleError as error:
        fault = str(error)
    return Stored(
        id=row.id,
        name=row.name,
        severity=row.severity,
        enabled=row.enabled,
        version=row.version,
        document=raw,
        created_at=row.created_at,
        updated_at=row.updated_at,
        sentence=spoken,
        fault=fault,
        state=State.NORMAL.value if row.enabled else State.PAUSED.value,
        provisioned_from=row.provisioned_from,
    )


def _standing(store: Store, rule_ids: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    states: dict[str, list[State]] = {}
    for row in rows.standing(store, rule_ids).iter_rows(named=True):
        states.setdefault(row["rule_id"], []).extend([State(row["state"])] if row["state"] else [])
        found[row["rule_id"]] = {
            "health": row["health"] or "",
            "health_message": row["message"] or "",
            "evaluated_at": row["evaluated_at"],
        }
    for rule_id, seen in states.items():
        if seen:
            found[rule_id]["state"] = worst(seen).value
    return found
