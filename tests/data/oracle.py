"""The ledger and its metrics once more, from plain records in plain Python: what the query layer must agree with."""

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from data.latency import bucket_of, middle_ms
from data.model import LedgerRecord
from data.question import Question
from tests.data.ledger import record

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FAILED = {"error", "partial", "timeout", "interrupted"}
#: A week in which Europe's clocks go forward (29 March 2026, 01:00 UTC), on both sides of a month's end.
FIRST, LAST = datetime(2026, 3, 25, 0, 0, tzinfo=UTC), datetime(2026, 4, 3, 0, 0, tzinfo=UTC)


def ledger(count: int = 900, seed: int = 1) -> list[LedgerRecord]:
    """Records between FIRST and LAST, many of them exactly on a minute, an hour or a microsecond beside one."""
    chance = random.Random(seed)
    records = []
    for number in range(1, count + 1):
        at = FIRST + (LAST - FIRST) * chance.random()
        at = chance.choice([at, _cut(at, 60), _cut(at, 3600), _cut(at, 60) - timedelta(microseconds=1), _cut(at, 1)])
        session = chance.choice(["", f"session-{number % 9}"])
        records.append(record(number, at=at, session=session, key=chance.choice(["", "key-1", "key-2"])))
    return records


def _cut(at: datetime, seconds: int) -> datetime:
    return at - (at - EPOCH) % timedelta(seconds=seconds)


def ended(row: LedgerRecord) -> datetime:
    return EPOCH + timedelta(microseconds=row.ended_at)


def value_of(row: LedgerRecord, name: str) -> str:
    if name.startswith("tag:"):
        return row.tags.get(name.removeprefix("tag:"), "")
    value = getattr(row, name)
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def bucket(at: datetime, grain: str, tz: str) -> datetime:
    local = at.astimezone(ZoneInfo(tz))
    if grain in {"day", "week", "month"}:
        day = local.date()
        day = {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}[grain]
        return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(tz)).astimezone(UTC)
    width = {"minute": 1, "5minute": 5, "15minute": 15, "hour": 60}[grain]
    into = timedelta(minutes=(local.hour * 60 + local.minute) % width, seconds=local.second)
    return at - into - timedelta(microseconds=local.microsecond)


def expected(records: Sequence[LedgerRecord], question: Question) -> dict[tuple, dict[str, object]]:
    """Per group (time, *by) each metric's value; `spend_rate` and `ledger_lag` only without a grain."""
    groups: dict[tuple, list[LedgerRecord]] = defaultdict(list)
    if not question.by and not question.grain:
        groups[()] = []
    for row in records:
        at = ended(row)
        if not question.start <= at < question.end:
            continue
        if all(value_of(row, name) in wanted for name, wanted in question.where.items()):
            time = (bucket(at, question.grain, question.tz),) if question.grain else ()
            groups[*time, *(value_of(row, name) for name in question.by)].append(row)
    return {key: {name: measured(rows, name, question) for name in question.metrics} for key, rows in groups.items()}


def measured(rows: Sequence[LedgerRecord], name: str, question: Question) -> object:
    """One metric over some records."""
    count = len(rows)
    cost = sum((row.cost_usd or Decimal(0) for row in rows), Decimal(0))
    unpriced = sum(r.cost_status == "unpriced" for r in rows)
    unknown = not cost and unpriced > 0
    fresh, read = sum(r.uncached_input_tokens for r in rows), sum(r.cache_read_tokens for r in rows)
    written = sum(r.cache_write_5m_tokens + r.cache_write_1h_tokens for r in rows)
    output = sum(r.output_tokens for r in rows)
    total = fresh + read + written + output
    duration = math.fsum(r.duration_ms for r in rows)
    hours = (question.end - question.start) / timedelta(hours=1)
    failed = sum(r.outcome in FAILED for r in rows)
    return {
        "requests": count,
        "errors": failed,
        "error_rate": over(failed * 100, count),
        "cost": None if unknown else cost,
        "cost_per_request": None if unknown else over(cost, count),
        "cost_per_token": None if unknown else over(cost, total),
        "cost_per_1k_tokens": None if unknown else over(cost * 1000, total),
        "spend_rate": None if unknown else float(cost) / hours,
        "input_tokens": fresh + read + written,
        "uncached_input_tokens": fresh,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "output_tokens": output,
        "reasoning_tokens": sum(r.reasoning_tokens for r in rows),
        "total_tokens": total,
        "cache_hit_rate": over(read * 100, fresh + read + written),
        "tokens_per_second": over(output * 1000, duration),
        "latency_p50": percentile([r.duration_ms for r in rows], 50),
        "latency_p95": percentile([r.duration_ms for r in rows], 95),
        "latency_p99": percentile([r.duration_ms for r in rows], 99),
        "latency_avg": over(duration, count),
        "ttft_p50": percentile([r.ttft_ms for r in rows if r.ttft_ms is not None], 50),
        "ttft_p95": percentile([r.ttft_ms for r in rows if r.ttft_ms is not None], 95),
        "active_sessions": len({r.session for r in rows if r.session}),
        "active_keys": len({r.key for r in rows if r.key}),
        "rate_limited": sum(r.status == 429 for r in rows),
        "unpriced_requests": unpriced,
        "fallback_rate": over(sum(r.attempt > 1 for r in rows) * 100, count),
        "estimated_share": over(sum(r.cost_status == "estimated" for r in rows) * 100, count),
        "ledger_lag": (question.end - max(map(ended, rows))).total_seconds() if rows else None,
    }[name]


def over(part: object, whole: object) -> float | None:
    return float(part) / float(whole) if whole else None


def percentile(values: Sequence[float], percent: int) -> float | None:
    if not values:
        return None
    rank = -(-len(values) * percent // 100)
    return middle_ms(sorted(map(bucket_of, values))[rank - 1])
