"""Rules as they are kept: saved with versions, switched on and off, deleted; the audit log has a line for each change.

What an edit, a pause or a deletion means for open incidents is committed with it: they end, and whoever was told of
them is told that.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from data.errors import ConflictError
from data.queries import alerts
from data.queries import rules as rows
from data.queries.alerts import committing
from data.queries.rules import RuleRow
from data.store import Statement, Store
from engine import channel_store, instances, state
from engine.audit import clock, entry, new_id
from engine.episode import Move, Watched, changes
from engine.errors import Fault, NotFound, RuleError, StaleVersion
from engine.ration import rationed
from engine.rule import Rule, document, parse, same_result, to_json
from engine.sentence import sentence
from engine.situation import situations
from engine.state import Instance, Reason, State, Step, worst


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


def every(store: Store) -> list[Stored]:
    """All rules by name, with their state and health."""
    standing = _standing(store)
    return [replace(_stored(row), **standing.get(row.id, {})) for row in rows.every(store)]


def get(store: Store, rule_id: str) -> Stored:
    """One rule; raises NotFound."""
    return replace(_stored(_row(store, rule_id)), **_standing(store).get(rule_id, {}))


def watched(row: RuleRow) -> Watched:
    """The rule, ready to evaluate; raises RuleError when its document cannot be read (any more)."""
    return Watched(row.id, row.version, parse(row.document))


def watched_by_id(store: Store, rule_id: str) -> Watched:
    """The stored rule, ready to evaluate; raises NotFound or RuleError."""
    return watched(_row(store, rule_id))


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

    Raises RuleError with every fault of the document or with the channels in it that do not exist, NotFound, and
    StaleVersion when the rule is not at `version` any more. An edit that changes the result resets the instances; one
    of words or channels does not.
    """
    rule = source if isinstance(source, Rule) else parse(source)
    if unknown := tuple(_unknown_channels(store, rule)):
        raise RuleError(unknown)
    now = at or clock()
    if rule_id is None:
        row = RuleRow(new_id(), rule.name, rule.severity.value, enabled is not False, 1, to_json(rule), now, now)
        store.transact([rows.adding(row), rows.versioning(row, by=by), _line(row, "create", by, now)])
        return _stored(row)
    old = _expected(store, rule_id, version)
    row = replace(
        old,
        name=rule.name,
        severity=rule.severity.value,
        enabled=old.enabled if enabled is None else enabled,
        version=old.version + 1,
        document=to_json(rule),
        updated_at=now,
    )
    ended = _reset(store, old, row, rule, now)
    return _commit(
        store, row, [rows.replacing(row), rows.versioning(row, by=by), *ended, _line(row, "update", by, now)]
    )


def toggle(store: Store, rule_id: str, *, by: str, enabled: bool | None = None, at: datetime | None = None) -> Stored:
    """Switch a rule on or off (None: the other way); switching off ends its incidents. Raises NotFound."""
    old, now = _row(store, rule_id), at or clock()
    row = replace(old, enabled=not old.enabled if enabled is None else enabled, version=old.version + 1, updated_at=now)
    if row.enabled == old.enabled:
        return get(store, rule_id)
    ended = _forget(store, old, now) if row.enabled else _end(store, old, _paused, now)
    action = "enable" if row.enabled else "disable"
    return _commit(store, row, [rows.replacing(row), rows.versioning(row, by=by), *ended, _line(row, action, by, now)])


def delete(store: Store, rule_id: str, *, by: str, version: int | None = None, at: datetime | None = None) -> None:
    """Remove a rule and end its incidents, whose history stays. Raises NotFound or StaleVersion."""
    row, now = _expected(store, rule_id, version), at or clock()
    ended = _end(store, row, _deleted, now)
    _commit(store, row, [*rows.removing(row), *ended, _line(row, "delete", by, now)])


def _unknown_channels(store: Store, rule: Rule) -> Iterator[Fault]:
    if not rule.notify:  # and therefore no fallback
        return
    known = channel_store.names(store)
    steps = [(f"escalate[{n}].notify", step.notify) for n, step in enumerate(rule.escalate)]
    for field, named in (("notify", rule.notify), ("fallback", rule.fallback), *steps):
        for n, name in enumerate(named):
            if name not in known:
                yield Fault(f"{field}[{n}]", f"there is no channel {name!r}; known are {', '.join(known)}")


def _row(store: Store, rule_id: str) -> RuleRow:
    row = rows.by_id(store, rule_id)
    if row is None:
        raise NotFound(f"there is no rule {rule_id!r}")
    return row


def _expected(store: Store, rule_id: str, version: int | None) -> RuleRow:
    row = _row(store, rule_id)
    if version is not None and row.version != version:
        raise StaleVersion(f"the rule is at version {row.version}, not {version}: somebody changed it; read it again")
    return row


def _commit(store: Store, row: RuleRow, statements: list[Statement]) -> Stored:
    try:
        store.transact(statements)
    except ConflictError as error:
        raise StaleVersion("the rule or one of its incidents changed meanwhile; read it again") from error
    return _stored(row)


def _stored(row: RuleRow) -> Stored:
    raw, spoken, fault = orjson.loads(row.document), "", ""
    try:
        rule = parse(raw)
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
    )


def _standing(store: Store) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    states: dict[str, list[State]] = {}
    for row in rows.standing(store).iter_rows(named=True):
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


def _line(row: RuleRow, action: str, by: str, at: datetime) -> Statement:
    detail = {"name": row.name, "version": row.version, "enabled": row.enabled}
    return entry(by, action, "rule", row.id, at=at, detail=detail)


Ending = Callable[[Instance, datetime], Step]


def _paused(instance: Instance, now: datetime) -> Step:
    return state.pause(instance, now)


def _deleted(instance: Instance, now: datetime) -> Step:
    return Step(None, state.reset(instance, Reason.DELETED, now).transition)


def _updated(instance: Instance, now: datetime) -> Step:
    return Step(None, state.reset(instance, Reason.UPDATED, now).transition)


def _forgotten(instance: Instance, now: datetime) -> Step:
    del instance, now
    return Step(None, None)


def _reset(store: Store, old: RuleRow, row: RuleRow, rule: Rule, now: datetime) -> list[Statement]:
    """What an edit does to the instances: switched off they pause, with another result they begin anew."""
    if old.enabled and not row.enabled:
        return _end(store, old, _paused, now)
    if row.enabled and not old.enabled:
        return _forget(store, old, now)
    try:
        same = same_result(parse(old.document), rule)
    except RuleError:
        same = False
    return [] if same else _end(store, old, _updated, now)


def _forget(store: Store, row: RuleRow, now: datetime) -> list[Statement]:
    return _end(store, row, _forgotten, now)


def _end(store: Store, row: RuleRow, ending: Ending, now: datetime) -> list[Statement]:
    """Statements that take every instance of the rule through `ending`, with its incidents and notices."""
    known = instances.from_rows(alerts.instances(store, [row.id])).get(row.id, {})
    try:
        rule = watched(row)
    except RuleError:
        rule = Watched(row.id, row.version, _nameless(row))
    situation = situations(store, [rule], now)[row.id]
    moves = [Move(key, instance, ending(instance, now)) for key, instance in known.items()]
    part = changes(rule, moves, situation, now)
    return committing(rationed([(rule.rule.severity, part)], situation.terms, now))


def _nameless(row: RuleRow) -> Rule:
    """Stands for a stored rule that cannot be read any more, so that its incidents can still be ended."""
    raw = {
        "name": row.name,
        "severity": row.severity,
        "when": {"metric": "requests", "window": "1m", "op": ">", "value": 0},
    }
    return parse(raw)
