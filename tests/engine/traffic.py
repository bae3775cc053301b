"""Requests for rules to look at, and rules that look at them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from data.client import FlightStore
from data.model import Endpoint, LedgerRecord, Outcome, Protocol
from data.queries import rules as rule_rows
from data.records import record_table
from engine import rules
from engine.audit import new_id
from engine.episode import Watched

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
_NUMBERS = count(1)

#: Fires when more than a dollar was spent in five minutes.
COSTLY: dict[str, Any] = {
    "name": "High cost",
    "severity": "high",
    "when": {"metric": "cost", "window": "5m", "op": ">", "value": 1},
    "every": "60s",
    "notify": ["in-app"],
}


def spend(store: FlightStore, at: datetime, usd: str, *, model: str = "opus", key: str = "k") -> None:
    """One request that ended at `at` and cost `usd`."""
    ended = int(at.timestamp() * 1_000_000)
    record = LedgerRecord(
        id=new_id(),
        request_id=new_id(),
        started_at=ended - 1000,
        ended_at=ended,
        key=key,
        protocol=Protocol.ANTHROPIC,
        endpoint=Endpoint.MESSAGES,
        provider="anthropic",
        model=model,
        outcome=Outcome.OK,
        status=200,
        cost_usd=Decimal(usd),
        duration_ms=1.0,
    )
    store.put(record_table([record]), spool_id=f"test-{next(_NUMBERS)}", first=1, last=1)


def watch(store: FlightStore, **changes: Any) -> Watched:
    """Save `COSTLY` with changes, under a name that is free, and return it ready to evaluate."""
    document = {**COSTLY, **changes}
    taken = {row.name for row in rule_rows.every(store)}
    if document["name"] in taken:
        document["name"] = f"{document['name']} {len(taken) + 1}"
    stored = rules.save(store, document, by="ada", at=NOON - timedelta(hours=1))
    return again(store, stored.id)


def again(store: FlightStore, rule_id: str) -> Watched:
    row = rule_rows.by_id(store, rule_id)
    assert row is not None
    return rules.watched(row)


def rows(store: FlightStore, table: str, *columns: str) -> list[tuple[Any, ...]]:
    chosen = ", ".join(f'"{name}"' for name in columns)
    order = {"alert_instances": "group_key", "rule_health": "rule_id", "channels": "name"}.get(table, "id")
    return store.sql(f"SELECT {chosen} FROM {table} ORDER BY {order}").rows()


def one(values: Sequence[Any]) -> Any:
    assert len(values) == 1, values
    return values[0]
