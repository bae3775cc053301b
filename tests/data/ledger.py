"""Ledger records for the store's tests."""

import random
from datetime import UTC, datetime
from decimal import Decimal

from data.model import CostStatus, Endpoint, LedgerRecord, Outcome, Protocol

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def record(number: int, *, at: datetime = NOON, **changes) -> LedgerRecord:
    """A record whose every measure follows from `number`; `at` is when it ended."""
    chance = random.Random(number)
    ended = int(at.timestamp() * 1_000_000)
    values = {
        "id": f"id-{number}",
        "request_id": f"request-{number}",
        "attempt": 1 + number % 2,
        "started_at": ended - 1_500_000,
        "ended_at": ended,
        "key": f"key-{number % 3}",
        "team": f"team-{number % 2}",
        "session": f"session-{number % 5}",
        "protocol": Protocol.ANTHROPIC,
        "endpoint": Endpoint.MESSAGES,
        "provider": "anthropic",
        "model": chance.choice(["opus", "sonnet"]),
        "stream": bool(number % 2),
        "outcome": chance.choice(list(Outcome)),
        "status": chance.choice([200, 429, 500]),
        "uncached_input_tokens": number,
        "cache_read_tokens": number * 2,
        "cache_write_5m_tokens": 3,
        "output_tokens": number * 5,
        "cost_usd": None if number % 7 == 0 else Decimal(number) / Decimal(1000),
        "cost_status": CostStatus.UNPRICED if number % 7 == 0 else chance.choice(["exact", "estimated"]),
        "ttft_ms": None if number % 3 == 0 else chance.uniform(0.01, 5000),
        "duration_ms": chance.uniform(0.01, 90_000),
        "overhead_ms": 1.5,
        "tags": {"branch": f"b{number % 2}"} if number % 4 == 0 else {},
    }
    return LedgerRecord(**(values | changes))
