"""Instances as rows: the state machine's values to and from `alert_instances`."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import polars as pl

from engine.rule import Rule
from engine.state import Instance, Reason, State, restored
from engine.truth import group_key

Row = Mapping[str, Any]


def from_rows(rows: pl.DataFrame) -> dict[str, dict[str, Instance]]:
    """Instances by rule id and group key, from the columns of `alert_instances`."""
    found: dict[str, dict[str, Instance]] = defaultdict(dict)
    for row in rows.iter_rows(named=True):
        found[row["rule_id"]][row["group_key"]] = _instance(row)
    return dict(found)


def _instance(row: Row) -> Instance:
    return Instance(
        labels=orjson.loads(row["labels"]),
        state=State(row["state"]),
        reason=Reason(row["reason"]),
        since=row["since"],
        evaluated_at=row["evaluated_at"],
        active_since=row["active_since"],
        recovering_since=row["recovering_since"],
        missing_evaluations=row["missing_evaluations"],
        value=row["value"],
        threshold=row["threshold"],
        held=frozenset(orjson.loads(row["held"])),
        alert_id=row["alert_id"],
    )


def to_row(rule_id: str, instance: Instance) -> dict[str, Any]:
    """The columns of `alert_instances`."""
    return {
        "rule_id": rule_id,
        "group_key": group_key(instance.labels),
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


def as_read(rule_id: str, stored: Instance) -> dict[str, Any]:
    """What names a stored row and tells whether it is still the one that was read."""
    return {
        "rule_id": rule_id,
        "group_key": group_key(stored.labels),
        "was_state": stored.state.value,
        "was_evaluated_at": stored.evaluated_at,
    }


def caught_up(rule: Rule, instance: Instance, at: datetime) -> Instance:
    """The instance without the time since its last evaluation that nobody watched; a late tick is not downtime.

    Where the clock was set back since then, nothing of it began later than now.
    """
    if instance.evaluated_at > at:
        return _begun_by(instance, at)
    unwatched = at - instance.evaluated_at - rule.every
    return instance if unwatched <= max(rule.every, timedelta(seconds=5)) else restored(instance, unwatched)


def _begun_by(instance: Instance, at: datetime) -> Instance:
    active, recovering = instance.active_since, instance.recovering_since
    return replace(
        instance,
        since=min(instance.since, at),
        active_since=active and min(active, at),
        recovering_since=recovering and min(recovering, at),
    )
