"""Starts and records for the spool's tests, and the opening of spools."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import uuid_utils

from data.model import CostStatus, Endpoint, LedgerRecord, Outcome, Protocol, RequestStart
from proxy.spool import Spool

NOW = 1_764_000_000_000_000
ASK: dict[str, Any] = {
    "protocol": Protocol.ANTHROPIC,
    "endpoint": Endpoint.MESSAGES,
    "provider": "anthropic",
    "started_at": NOW - 1_000_000,
    "tags": {"env": "test", "name": "Zürich"},
}


def started(name: str = "", **more: Any) -> RequestStart:
    name = name or str(uuid_utils.uuid7())
    return RequestStart(**{**ASK, "id": name, "request_id": name, "estimated_input_tokens": 70, **more})


def ended(name: str = "", **more: Any) -> LedgerRecord:
    name = name or str(uuid_utils.uuid7())
    counted = {"cost_usd": Decimal("0.000123456"), "cost_status": CostStatus.EXACT, "output_tokens": 12}
    known = {"id": name, "request_id": name, "ended_at": NOW, "outcome": Outcome.OK, "status": 200}
    return LedgerRecord(**{**ASK, **known, **counted, **more})


def estimated(start: RequestStart) -> LedgerRecord:
    return ended(start.id, outcome=Outcome.INTERRUPTED, status=0)


@contextmanager
def opened(folder: Path, **settings: Any) -> Iterator[Spool]:
    spool = Spool.open(folder, now_us=NOW + 5, estimate=estimated, **settings)
    try:
        yield spool
    finally:
        spool.close()


def until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    """Wait for the condition; fail when it does not come true in time."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.002)


def durable(spool: Spool) -> list[LedgerRecord]:
    """Everything that waits for the store, once all of it is durable."""
    records = list[LedgerRecord]()
    waiting = spool.backlog().records

    def complete() -> bool:
        first, more = spool.read(spool.shipped + len(records), 7)
        assert not more or first == spool.shipped + len(records) + 1
        records.extend(more)
        return len(records) >= waiting

    until(complete)
    return records


def ids(records: list[LedgerRecord]) -> list[str]:
    return [record.id for record in records]
