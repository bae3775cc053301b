"""Budgets in the store: their documents, and what the ledger says was spent. For programs that have no SQLAlchemy."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from data.budget_periods import Calendar, Once, Rolling, Schedule, from_us
from data.budgets import ANY, Scope, ScopeKind
from data.protocol import Change, naive_utc, wire

_MAX_ROWS = 2_000_000
_ROW = ("id", "name", "version", "document", "created_at", "updated_at")
#: What tells in which counter of a scope a row counts.
_COLUMNS: Mapping[ScopeKind, tuple[str, ...]] = {
    ScopeKind.GLOBAL: (),
    ScopeKind.MODEL: ("cause", "model_requested", "model"),
    ScopeKind.TAG: ("tags",),
}


class Reader(Protocol):
    """A connection that answers with plain rows; `data.connection.Connection` is one."""

    def rows(self, sql: str, params: Sequence[object] = (), *, max_rows: int = ...) -> list[dict[str, Any]]:
        """The answer to a SELECT."""
        ...


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """One row of `budgets`; `document` is JSON text, `version` counts its changes. Times are naive UTC."""

    id: str
    name: str
    version: int
    document: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Spent:
    """What the ledger says: sums by bucket and by the columns a scope looks at, and how far it goes for each spool."""

    rows: Sequence[Mapping[str, Any]]  # bucket (microseconds), nano, and the columns
    offsets: Mapping[str, int]


def every(store: Reader) -> list[BudgetRow]:
    """All budgets by name."""
    return [BudgetRow(**row) for row in store.rows(f"SELECT {', '.join(_ROW)} FROM budgets ORDER BY name, id")]


def adding(row: BudgetRow) -> Change:
    """Insert a budget unless its name is taken; changes one row or none."""
    values = [getattr(row, name) for name in _ROW]
    sql = f"INSERT INTO budgets ({', '.join(_ROW)}) SELECT ?, ?, ?, ?, ?, ? WHERE {_FREE_NAME}"
    return Change(sql, wire([*values, row.name, row.id]), 1)


def replacing(row: BudgetRow) -> Change:
    """Overwrite a budget; holds only while its stored version is the one before, and its name nobody else's."""
    sql = (
        "UPDATE budgets SET name = ?, version = ?, document = ?, updated_at = ? "
        f"WHERE id = ? AND version = ? AND {_FREE_NAME}"
    )
    values = [row.name, row.version, row.document, row.updated_at, row.id, row.version - 1, row.name, row.id]
    return Change(sql, wire(values), 1)


def removing(row: BudgetRow) -> Change:
    """Delete a budget that still has `row.version`."""
    return Change("DELETE FROM budgets WHERE id = ? AND version = ?", wire([row.id, row.version]), 1)


def auditing(entry_id: str, row: BudgetRow, *, actor: str, action: str, at: datetime) -> Change:
    """The audit log's line of a change."""
    detail = json.dumps({"name": row.name, "version": row.version})
    sql = (
        'INSERT INTO audit_log (id, "at", actor, action, object_kind, object_id, detail) '
        "VALUES (?, ?, ?, ?, 'budget', ?, ?)"
    )
    return Change(sql, wire([entry_id, naive_utc(at), actor, action, row.id, detail]), 1)


_FREE_NAME = "NOT EXISTS (SELECT 1 FROM budgets b WHERE b.name = ? AND b.id <> ?)"


def spent(store: Reader, scope: Scope, schedule: Schedule, now_us: int) -> Spent:
    """What calls of this gateway cost that count at `now_us`, as one view of the ledger."""
    columns = _COLUMNS.get(scope.kind, (scope.kind.value,))
    listed = "".join(f'"{name}", ' for name in columns)
    where, params = _condition(scope, schedule, now_us)
    bucket, more = _bucket(schedule, now_us)
    grouped = (
        f"SELECT {listed}{bucket} AS bucket, "
        "CAST(sum(coalesce(liability_usd, cost_usd)) * 1000000000 AS HUGEINT)::VARCHAR AS nano, "
        f"'' AS spool_id, 0 AS sequence FROM requests WHERE {where} GROUP BY ALL"
    )
    blanks = "".join("'', " for _ in columns)
    offsets = f"SELECT {blanks}0, '0', spool_id, sequence FROM ingest_offsets"
    rows = store.rows(f"{grouped} UNION ALL {offsets}", [*more, *params], max_rows=_MAX_ROWS)
    sums = [{**row, "nano": int(row["nano"])} for row in rows if not row["spool_id"] and row["nano"] is not None]
    return Spent(sums, {row["spool_id"]: row["sequence"] for row in rows if row["spool_id"]})


def _condition(scope: Scope, schedule: Schedule, now_us: int) -> tuple[str, list[object]]:
    parts, params = ["source = 'live'"], list[object]()
    counts = schedule.counts(now_us)
    if counts.start_us:
        parts.append("ended_at >= ?")
        params.append(from_us(counts.start_us))
    if isinstance(schedule, Calendar):  # the next period counts when it comes, and may do so while this is read
        parts.append("ended_at < ?")
        params.append(from_us(schedule.bucket(counts.end_us).end_us))
    own, values = _of_scope(scope)
    return " AND ".join([*parts, *own]), [*params, *values]


def _of_scope(scope: Scope) -> tuple[list[str], list[object]]:
    """What SQL can tell of a scope; the rest is told from the columns."""
    if scope.kind.value in {ScopeKind.GLOBAL, ScopeKind.MODEL, ScopeKind.TAG}:
        return [], []
    return [f'"{scope.kind.value}" {"<>" if scope.value == ANY else "="} ?'], [
        "" if scope.value == ANY else scope.value
    ]


def _bucket(schedule: Schedule, now_us: int) -> tuple[str, list[object]]:
    """The SQL of a row's bucket, in microseconds."""
    if isinstance(schedule, Rolling):
        return "epoch_us(ended_at) - epoch_us(ended_at) % CAST(? AS BIGINT)", [schedule.width_us]
    if isinstance(schedule, Once):
        return "CAST(? AS BIGINT)", [schedule.start_us]
    if not isinstance(schedule, Calendar):
        raise TypeError(f"{schedule!r} is no schedule of a budget")
    span = schedule.bucket(now_us)
    # what ended after the period did belongs to the next
    return (
        "CASE WHEN epoch_us(ended_at) < CAST(? AS BIGINT) THEN CAST(? AS BIGINT) ELSE CAST(? AS BIGINT) END",
        [span.end_us, span.start_us, span.end_us],
    )


def spending(scope: Scope, start_us: int, end_us: int, width_us: int) -> tuple[str, list[object]]:
    """The SELECT of what calls that ended in [start, end) cost, and its parameters.

    Columns: those the scope looks at, cell (how many widths after the start), nano (nanodollars).
    """
    columns = _COLUMNS.get(scope.kind, (scope.kind.value,))
    listed = "".join(f'"{name}", ' for name in columns)
    parts, params = ["source = 'live'", "ended_at >= ?", "ended_at < ?"], [from_us(start_us), from_us(end_us)]
    own, values = _of_scope(scope)
    sql = (
        f"SELECT {listed}(epoch_us(ended_at) - CAST(? AS BIGINT)) // CAST(? AS BIGINT) AS cell, "
        "CAST(sum(coalesce(liability_usd, cost_usd)) * 1000000000 AS BIGINT) AS nano "
        f"FROM requests WHERE {' AND '.join([*parts, *own])} GROUP BY ALL HAVING nano IS NOT NULL"
    )
    return sql, [start_us, width_us, *params, *values]
