"""Instances as rows: the state machine's values to and from `alert_instances`."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

import orjson
import polars as pl
from msgspec.structs import fields, replace

from engine.rule import Rule
from engine.state import Instance, Reason, State, restored
from engine.truth import group_key

#: How columns that are not an instance's values as they are become them.
_READ: Mapping[str, Callable[[str], Any]] = {
    "labels": orjson.loads,
    "state": State,
    "reason": Reason,
    "held": lambda text: frozenset(orjson.loads(text)),
}
#: All of an instance but what it was measured at, which nearly every evaluation changes alone.
_STANDING = attrgetter(
    "labels",
    "state",
    "reason",
    "since",
    "active_since",
    "recovering_since",
    "missing_evaluations",
    "held",
    "alert_id",
)


def from_rows(rows: pl.DataFrame) -> dict[str, dict[str, Instance]]:
    """Instances by rule id and group key, from the columns of `alert_instances`."""
    found: dict[str, dict[str, Instance]] = defaultdict(dict)
    columns = [rows.get_column(name).to_list() for name in ("rule_id", "group_key")]
    read = [_read(rows.get_column(field.name)) for field in fields(Instance)]
    for rule_id, key, *values in zip(*columns, *read, strict=True):
        found[rule_id][key] = Instance(*values)
    return dict(found)


def _read(column: pl.Series) -> list[Any]:
    """The values as an instance has them; made once each where most rows have the same."""
    if column.dtype == pl.Datetime:
        different = column.unique()
        times = dict(zip(different.to_physical().to_list(), different.to_list(), strict=True))
        return [times[value] for value in column.to_physical().to_list()]
    if read := _READ.get(column.name):
        made = {value: read(value) for value in column.unique().to_list()}
        return [made[value] for value in column.to_list()]
    return column.to_list()


def to_row(rule_id: str, instance: Instance, key: str = "") -> dict[str, Any]:
    """The columns of `alert_instances`; `key` is the group's, where it is known."""
    return {
        "rule_id": rule_id,
        "group_key": key or group_key(instance.labels),
        "labels": orjson.dumps(dict(instance.labels)).decode(),
        "state": instance.state.value,
        "reason": instance.reason.value,
        "since": instance.since,
        "active_since": instance.active_since,
        "recovering_since": instance.recovering_since,
        "missing_evaluations": instance.missing_evaluations,
        "value": instance.value,
        "threshold": instance.threshold,
        "alert_id": instance.alert_id,
        "evaluated_at": instance.evaluated_at,
        "held": orjson.dumps(sorted(instance.held)).decode(),
    }


def as_read(rule_id: str, key: str, stored: Instance) -> dict[str, Any]:
    """What names a stored row and tells whether it is still the one that was read."""
    return {
        "rule_id": rule_id,
        "group_key": key,
        "was_state": stored.state.value,
        "was_evaluated_at": stored.evaluated_at,
    }


def moved(rule_id: str, stored: Instance, after: Instance, key: str = "") -> dict[str, Any]:
    """The columns to set where the stored row is still the one that was read; few, while only the value moves."""
    key = key or group_key(stored.labels)
    row = as_read(rule_id, key, stored)
    if _STANDING(stored) != _STANDING(after):
        return {**to_row(rule_id, after, key), **row}
    row["value"], row["threshold"], row["evaluated_at"] = after.value, after.threshold, after.evaluated_at
    return row


def caught_up(rule: Rule, instance: Instance, at: datetime) -> Instance:
    """The instance without the time since its last evaluation that nobody watched; a late tick is not downtime.

    Where the clock was set back since then, nothing of it began later than now.
    """
    if instance.evaluated_at > at:
        return _begun_by(instance, at)
    unwatched = at - instance.evaluated_at - rule.every
    return instance if unwatched <= max(rule.every, timedelta(seconds=5)) else restored(instance, unwatched)


def recadenced(before: Rule, after: Rule, instance: Instance, at: datetime) -> Instance:
    """The instance of a rule that is evaluated more often from `at` on, caught up at the cadence `before`."""
    caught = caught_up(before, instance, at)
    return replace(caught, evaluated_at=max(caught.evaluated_at, at - after.every))


def _begun_by(instance: Instance, at: datetime) -> Instance:
    active, recovering = instance.active_since, instance.recovering_since
    return replace(
        instance,
        since=min(instance.since, at),
        active_since=active and min(active, at),
        recovering_since=recovering and min(recovering, at),
    )
