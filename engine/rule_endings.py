"""What a change of a rule does to its instances: which begin anew, pause or end, with their incidents and notices."""

from collections.abc import Callable, Sequence
from datetime import datetime

from data.queries import alerts
from data.queries.alerts import Changes, committing
from data.queries.rules import RuleRow
from data.store import Statement, Store
from engine import instances, state
from engine.episode import Move, Watched, changes
from engine.errors import RuleError
from engine.ration import rationed
from engine.rule import Rule, kept, same_result
from engine.situation import situations
from engine.state import Instance, Reason, State, Step

Ending = Callable[[Instance, datetime], Step]


def watched(row: RuleRow) -> Watched:
    """The rule, ready to evaluate; raises RuleError when its document cannot be read (any more)."""
    return Watched(row.id, row.version, kept(row.document))


def to_end(row: RuleRow) -> Watched:
    """The rule, ready to be ended; where it cannot be read any more, one that stands for it: who was told must hear."""
    try:
        return watched(row)
    except RuleError:
        return Watched(row.id, row.version, _nameless(row), readable=False)


def paused(instance: Instance, now: datetime) -> Step:
    """The rule is switched off."""
    return state.pause(instance, now)


def deleted(instance: Instance, now: datetime) -> Step:
    """The rule is gone."""
    return Step(None, state.reset(instance, Reason.DELETED, now).transition)


def updated(instance: Instance, now: datetime) -> Step:
    """The rule says something else now."""
    return Step(None, state.reset(instance, Reason.UPDATED, now).transition)


def forgotten(instance: Instance, now: datetime) -> Step:
    """The rule is switched on again: what was known before tells nothing."""
    del instance, now
    return Step(None, None)


def after_edit(store: Store, old: RuleRow, row: RuleRow, rule: Rule, now: datetime) -> list[Statement]:
    """What an edit does to the instances: switched off they pause, with another result they begin anew.

    Evaluated more often from now on, they were not unwatched since the last evaluation at the cadence before.
    """
    if old.enabled and not row.enabled:
        return end(store, old, paused, now)
    if row.enabled and not old.enabled:
        return end(store, old, forgotten, now)
    try:
        before = kept(old.document)
    except RuleError:
        return end(store, old, updated, now)
    if not same_result(before, rule):
        return end(store, old, updated, now)
    return _watched_so_far(store, old.id, before, rule, now) if rule.every < before.every else []


def _watched_so_far(store: Store, rule_id: str, before: Rule, rule: Rule, now: datetime) -> list[Statement]:
    known = instances.from_rows(alerts.instances(store, [rule_id])).get(rule_id, {})
    pending = {key: instance for key, instance in known.items() if instance.state is State.PENDING}
    moved = [
        instances.moved(rule_id, instance, instances.recadenced(before, rule, instance, now), key)
        for key, instance in pending.items()
    ]
    return committing([Changes(moved=tuple(moved))]) if moved else []


def end(store: Store, row: RuleRow, ending: Ending, now: datetime) -> list[Statement]:
    """Statements that take every instance of the rule through `ending`, with its incidents and notices."""
    return end_all(store, [row], ending, now)


def end_all(store: Store, rows: Sequence[RuleRow], ending: Ending, now: datetime) -> list[Statement]:
    """As `end`, of several rules (one at least), whose notices share what channels still take."""
    known = instances.from_rows(alerts.instances(store, [row.id for row in rows]))
    rules = [to_end(row) for row in rows]
    told = situations(store, rules, now)
    parts = []
    for rule in rules:
        moves = [Move(key, instance, ending(instance, now)) for key, instance in known.get(rule.id, {}).items()]
        parts.append(changes(rule, moves, told[rule.id], now))
    return committing(rationed(parts, told[rules[0].id].terms, now))


def _nameless(row: RuleRow) -> Rule:
    """Stands for a stored rule that cannot be read any more, so that its incidents can still be ended."""
    raw = {
        "name": row.name,
        "severity": row.severity,
        "when": {"metric": "requests", "window": "1m", "op": ">", "value": 0},
    }
    return kept(raw)
