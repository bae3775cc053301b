"""Warn and critical in one rule: two levels, each with thresholds, instances and incidents of its own. Pure.

The level is one more label of a group (`level: critical`, `level: warn`), so that everything that knows groups by
their labels keeps the levels apart. For one level alone a rule is a plain one (`engine.rule.Rule.of`): the conditions
that warn have that level's threshold, the others count the same in both.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from engine.condition import Condition, Node, Not, Placed
from engine.errors import Fault
from engine.truth import group_key

#: The label that tells a group's levels apart.
LEVEL = "level"
#: Fields of a rule that are about its warnings.
WARN_FIELDS = ("warn_severity", "warn_notify")


class Level(StrEnum):
    """What a rule with a second threshold tells apart, worst first."""

    CRITICAL = "critical"
    WARN = "warn"


def warns(conditions: Iterable[Condition]) -> bool:
    """Whether there are two levels."""
    return any(condition.warn is not None for condition in conditions)


def at_level(node: Node, level: Level) -> Node:
    """The tree with the thresholds of one level, and no others."""
    if isinstance(node, Condition):
        return _condition(node, level)
    if isinstance(node, Not):
        return node.model_copy(update={"member": at_level(node.member, level)})
    return node.model_copy(update={"members": tuple(at_level(member, level) for member in node.members)})


def _condition(condition: Condition, level: Level) -> Condition:
    if condition.warn is None:
        return condition
    milder = {"value": condition.warn, "recovery": condition.warn_recovery} if level is Level.WARN else {}
    return condition.model_copy(update={**milder, "warn": None, "warn_recovery": None})


def quieted(key: str) -> str:
    """The group that is kept quiet while the one with this key fires: its warn; '' where it is not the critical."""
    labels = json.loads(key)
    return group_key({**labels, LEVEL: Level.WARN.value}) if labels.get(LEVEL) == Level.CRITICAL else ""


def level_faults(placed: Iterable[Placed], labels: Mapping[str, str], fields: Mapping[str, object]) -> Iterator[Fault]:
    """What contradicts itself in a rule's levels; `fields` are its `WARN_FIELDS`."""
    warning = [path for path, condition in placed if condition.warn is not None]
    if warning and LEVEL in labels:
        yield Fault(f"labels.{LEVEL}", "is set by warn; both levels would get the same label")
    if not warning:
        yield from (Fault(name, "has no effect without a warn") for name, value in fields.items() if value is not None)
    for path in warning:
        if path.count(".not") % 2:
            yield Fault(f"{path}.warn", "would be the stricter one under a not; turn the condition round instead")
