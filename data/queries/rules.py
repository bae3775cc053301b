"""Alert rules, their versions and their health."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import polars as pl
from sqlalchemy import Select, and_, delete, func, insert, or_, select, update

from data.queries.rule_filter import RuleFilter, filtered
from data.schema import alert_instances, rule_health, rule_versions, rules
from data.store import Statement, Store


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One row of `rules`; `document` is JSON text, `version` counts its changes."""

    id: str
    name: str
    severity: str
    enabled: bool
    version: int
    document: str
    created_at: datetime
    updated_at: datetime
    provisioned_from: str = ""


def every(store: Store, *, enabled_only: bool = False) -> list[RuleRow]:
    """All rules by name."""
    question = select(rules).order_by(rules.c.name, rules.c.id)
    return _rules(store, question.where(rules.c.enabled) if enabled_only else question)


def page(
    store: Store,
    wanted: RuleFilter,
    *,
    worst_first: Sequence[str],
    after: tuple[str, str] | None = None,
    limit: int | None = None,
) -> list[RuleRow]:
    """Rules by name, those after the rule of this name and id (None: from the first); without a limit all.

    `worst_first` are the states of instances, of which a rule shows the worst.
    """
    question = filtered(select(rules), wanted, worst_first).order_by(rules.c.name, rules.c.id)
    question = question if limit is None else question.limit(limit)
    if after is not None:
        name, rule_id = after
        question = question.where(or_(rules.c.name > name, and_(rules.c.name == name, rules.c.id > rule_id)))
    return _rules(store, question)


def by_ids(store: Store, rule_ids: Sequence[str]) -> list[RuleRow]:
    """The rules of these ids that there are."""
    return _rules(store, select(rules).where(rules.c.id.in_(rule_ids)))


def by_id(store: Store, rule_id: str) -> RuleRow | None:
    """The rule of this id."""
    found = _rules(store, select(rules).where(rules.c.id == rule_id))
    return found[0] if found else None


def _rules(store: Store, question: Select[Any]) -> list[RuleRow]:
    return [RuleRow(**row) for row in store.frame(question).iter_rows(named=True)]


def versions(store: Store, rule_id: str, *, before: int | None = None, limit: int | None = None) -> pl.DataFrame:
    """A rule's versions, newest first, those before one; without a limit all. The columns of `rule_versions`."""
    mine = select(rule_versions).where(rule_versions.c.rule_id == rule_id).order_by(rule_versions.c.version.desc())
    mine = mine if before is None else mine.where(rule_versions.c.version < before)
    return store.frame(mine if limit is None else mine.limit(limit))


def version(store: Store, rule_id: str, number: int) -> str | None:
    """The document of one version, JSON text."""
    mine = select(rule_versions.c.document).where(rule_versions.c.rule_id == rule_id, rule_versions.c.version == number)
    found = store.frame(mine)
    return str(found.item(0, 0)) if found.height else None


def standing(store: Store, rule_ids: Collection[str] | None = None) -> pl.DataFrame:
    """Instances' states and rules' health: rule_id, state, health, message, evaluated_at, duration_ms; None: of all.

    A rule without instances has one row whose `state` is null, one that was never evaluated nulls for its health.
    """
    joined = rules.outerjoin(rule_health, rules.c.id == rule_health.c.rule_id)
    joined = joined.outerjoin(alert_instances, rules.c.id == alert_instances.c.rule_id)
    health = (rule_health.c.health, rule_health.c.message, rule_health.c.evaluated_at, rule_health.c.duration_ms)
    question = select(rules.c.id.label("rule_id"), alert_instances.c.state, *health).select_from(joined)
    return store.frame(question if rule_ids is None else question.where(rules.c.id.in_(rule_ids)))


def evaluated(store: Store) -> dict[str, datetime]:
    """By id, when each rule was last evaluated; where it was changed since, when that was: it may have been off."""
    joined = rules.join(rule_health, rules.c.id == rule_health.c.rule_id)
    at = func.greatest(rule_health.c.evaluated_at, rules.c.updated_at)
    return dict(store.frame(select(rules.c.id, at.label("at")).select_from(joined)).iter_rows())


def referring_to(store: Store, channel: str) -> list[str]:
    """Names of the rules that notify, warn, escalate to, or fall back to, the channel of this name."""
    named: list[str] = []
    for row in every(store):
        document = orjson.loads(row.document)
        steps = [step.get("notify", []) for step in document.get("escalate", [])]
        told = [*(document.get(field, []) for field in ("notify", "warn_notify", "fallback")), *steps]
        if any(channel in ([part] if isinstance(part, str) else part) for part in told):
            named.append(row.name)
    return named


def adding(row: RuleRow) -> Statement:
    """Insert a rule."""
    values = {column.name: getattr(row, column.name) for column in rules.columns}
    return Statement(insert(rules).values(**values), expect=1)


def replacing(row: RuleRow) -> Statement:
    """Overwrite a rule; holds only while its stored version is the one before `row.version`."""
    names = ("name", "severity", "enabled", "version", "document", "updated_at", "provisioned_from")
    values = {name: getattr(row, name) for name in names}
    unchanged = (rules.c.id == row.id) & (rules.c.version == row.version - 1)
    return Statement(update(rules).where(unchanged).values(**values), expect=1)


def removing(row: RuleRow) -> list[Statement]:
    """Delete a rule that still has `row.version`, and its health. Its versions and incidents stay."""
    unchanged = (rules.c.id == row.id) & (rules.c.version == row.version)
    return [
        Statement(delete(rules).where(unchanged), expect=1),
        Statement(delete(rule_health).where(rule_health.c.rule_id == row.id)),
    ]


def versioning(row: RuleRow, *, by: str) -> Statement:
    """Record a version and who made it."""
    values = {
        "rule_id": row.id,
        "version": row.version,
        "document": row.document,
        "changed_at": row.updated_at,
        "changed_by": by,
    }
    return Statement(insert(rule_versions).values(**values), expect=1)
