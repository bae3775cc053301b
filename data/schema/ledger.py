"""The ledger: its facts, its rollups, and what they need for being kept. Times are naive UTC; money is US dollars."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
)
from sqlalchemy.types import TypeEngine

METADATA = MetaData()
MONEY = Numeric(18, 9)

#: What the rollups can be broken down and filtered by. Every other dimension is answered from `requests`.
ROLLUP_DIMENSIONS: tuple[str, ...] = (
    "provider",
    "model",
    "key",
    "user",
    "team",
    "project",
    "protocol",
    "stream",
    "outcome",
    "status",
)

#: What the usage rollups sum, in order; `data/rollups.py` says how each comes from a row of `requests`.
ROLLUP_MEASURES: tuple[str, ...] = (
    "requests",
    "errors",
    "rate_limited",
    "fallbacks",
    "unpriced",
    "estimated",
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "tool_units",
    "cost_usd",
    "duration_ms",
    "overhead_ms",
    "ttft_ms",
    "ttft_requests",
)

_MEASURE_TYPES: dict[str, TypeEngine[Any]] = {
    "cost_usd": MONEY,
    "duration_ms": Double(),
    "overhead_ms": Double(),
    "ttft_ms": Double(),
}


def _text(name: str) -> Column[str]:
    return Column(name, String, nullable=False, default="")


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


#: One row an upstream attempt, append-only; the columns are `data.model.LedgerRecord`'s fields.
requests = Table(
    "requests",
    METADATA,
    Column("id", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("attempt", SmallInteger, nullable=False),
    _text("cause"),
    Column("started_at", DateTime, nullable=False),
    Column("ended_at", DateTime, nullable=False),
    _text("source"),
    _text("key"),
    _text("user"),
    _text("team"),
    _text("project"),
    _text("session"),
    _text("agent"),
    _text("user_agent"),
    _text("protocol"),
    _text("endpoint"),
    _text("provider"),
    _text("credential"),
    _text("model_requested"),
    _text("model"),
    Column("stream", Boolean, nullable=False),
    _text("outcome"),
    Column("status", SmallInteger, nullable=False),
    _text("error_class"),
    _text("error_message"),
    _text("stop_reason"),
    _text("provider_request_id"),
    _count("uncached_input_tokens"),
    _count("cache_read_tokens"),
    _count("cache_write_5m_tokens"),
    _count("cache_write_1h_tokens"),
    _count("output_tokens"),
    _count("reasoning_tokens"),
    _count("tool_units"),
    Column("cost_usd", MONEY),
    Column("liability_usd", MONEY),
    _text("cost_status"),
    _text("cost_note"),
    _text("price_source"),
    _text("service_tier"),
    _text("inference_geo"),
    _text("speed"),
    Column("ttft_ms", Double),
    Column("duration_ms", Double, nullable=False),
    Column("overhead_ms", Double, nullable=False),
    _count("request_bytes"),
    _count("response_bytes"),
    _text("tags"),
    _text("usage"),
)


def _dimension_columns() -> list[Column[Any]]:
    return [Column(name, requests.c[name].type, nullable=False) for name in ROLLUP_DIMENSIONS]


def _usage_table(name: str) -> Table:
    measures: list[Column[Any]] = [
        Column(m, _MEASURE_TYPES.get(m, BigInteger()), nullable=False) for m in ROLLUP_MEASURES
    ]
    return Table(name, METADATA, Column("time", DateTime, nullable=False), *_dimension_columns(), *measures)


def _latency_table(name: str) -> Table:
    return Table(
        name,
        METADATA,
        Column("time", DateTime, nullable=False),
        *_dimension_columns(),
        Column("bucket", SmallInteger, nullable=False),
        _count("durations"),
        _count("ttfts"),
    )


#: Sums per minute (hour) of `ended_at` and dimension values; several rows may share them until compaction.
usage_minute = _usage_table("usage_minute")
usage_hour = _usage_table("usage_hour")
#: Requests per logarithmic latency bucket, one table beside each usage rollup.
latency_minute = _latency_table("latency_minute")
latency_hour = _latency_table("latency_hour")

#: Hours of the minute rollups and days of the hour rollups that got rows since they were last merged.
unmerged = Table(
    "unmerged",
    METADATA,
    Column("rollup", String, nullable=False),
    Column("start", DateTime, nullable=False),
)

ingest_offsets = Table(
    "ingest_offsets",
    METADATA,
    Column("spool_id", String, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("updated_at", DateTime, nullable=False),
    #: when the last of the requests ended that came then: how far behind the spool was
    Column("ended_at", DateTime),
)

#: Ids of the rows of `requests` whose id follows from their content; they outlive the rows.
derived_ids = Table("derived_ids", METADATA, Column("id", String, primary_key=True))

schema_migrations = Table(
    "schema_migrations",
    METADATA,
    Column("name", String, primary_key=True),
    Column("applied_at", DateTime, nullable=False),
)
