"""Every table of the store, declared once. Times are naive UTC; money is DECIMAL(18,9) US dollars."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Integer,
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
)

#: Ids of the rows of `requests` whose id follows from their content; they outlive the rows.
derived_ids = Table("derived_ids", METADATA, Column("id", String, primary_key=True))

schema_migrations = Table(
    "schema_migrations",
    METADATA,
    Column("name", String, primary_key=True),
    Column("applied_at", DateTime, nullable=False),
)

rules = Table(
    "rules",
    METADATA,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("document", String, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("updated_at", DateTime, nullable=False),
)

rule_versions = Table(
    "rule_versions",
    METADATA,
    Column("rule_id", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("document", String, nullable=False),
    Column("changed_at", DateTime, nullable=False),
    Column("changed_by", String, nullable=False),
)

channels = Table(
    "channels",
    METADATA,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("config", String, nullable=False),
    Column("secret", String, nullable=False),
    Column("disabled_reason", String, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("updated_at", DateTime, nullable=False),
)

#: rule by group: where its state machine stands.
alert_instances = Table(
    "alert_instances",
    METADATA,
    Column("rule_id", String, nullable=False),
    Column("group_key", String, nullable=False),
    Column("labels", String, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("since", DateTime, nullable=False),
    Column("active_since", DateTime),
    Column("recovering_since", DateTime),
    Column("missing_evaluations", Integer, nullable=False),
    Column("value", Double),
    Column("threshold", Double),
    Column("alert_id", String, nullable=False),
    Column("evaluated_at", DateTime, nullable=False),
    #: the conditions kept true by their recovery threshold: a JSON list of their positions
    Column("held", String, nullable=False, default="[]"),
)

#: Incidents: one row a firing episode.
alerts = Table(
    "alerts",
    METADATA,
    Column("id", String, primary_key=True),
    Column("rule_id", String, nullable=False),
    Column("rule_name", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("group_key", String, nullable=False),
    Column("labels", String, nullable=False),
    Column("status", String, nullable=False),
    Column("summary", String, nullable=False),
    Column("value", Double),
    Column("threshold", Double),
    Column("opened_at", DateTime, nullable=False),
    Column("acknowledged_at", DateTime),
    Column("acknowledged_by", String, nullable=False),
    Column("resolved_at", DateTime),
    Column("resolved_by", String, nullable=False),
    Column("comment", String, nullable=False),
    #: a snooze's end; NULL: acknowledged until resolved
    Column("acknowledged_until", DateTime),
)

#: How a rule's evaluations go, apart from what they say: one row a rule, its last evaluation.
rule_health = Table(
    "rule_health",
    METADATA,
    Column("rule_id", String, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("health", String, nullable=False),
    Column("message", String, nullable=False),
    Column("evaluated_at", DateTime, nullable=False),
    Column("duration_ms", Double, nullable=False),
)

#: Stretches of time in which matching incidents notify nobody.
silences = Table(
    "silences",
    METADATA,
    Column("id", String, primary_key=True),
    Column("matchers", String, nullable=False),
    Column("starts_at", DateTime, nullable=False),
    Column("ends_at", DateTime, nullable=False),
    Column("author", String, nullable=False),
    Column("comment", String, nullable=False),
    Column("created_at", DateTime, nullable=False),
)

#: Every transition, with what caused it; append-only.
alert_events = Table(
    "alert_events",
    METADATA,
    Column("id", String, nullable=False),
    Column("at", DateTime, nullable=False),
    Column("rule_id", String, nullable=False),
    Column("group_key", String, nullable=False),
    Column("alert_id", String, nullable=False),
    Column("from_state", String, nullable=False),
    Column("to_state", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("value", Double),
    Column("threshold", Double),
)

#: The outbox: one row an incident, channel and reason, written with the transition that caused it.
notifications = Table(
    "notifications",
    METADATA,
    Column("id", String, primary_key=True),
    Column("alert_id", String, nullable=False),
    Column("rule_id", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("status", String, nullable=False),
    Column("notice", String, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("due_at", DateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("claimed_by", String, nullable=False),
    Column("claimed_until", DateTime),
    Column("finished_at", DateTime),
    Column("group_key", String, nullable=False, default=""),
    #: channels to try, in order, when this one fails for good: a JSON list of names
    Column("fallback", String, nullable=False, default="[]"),
    #: the failed notification this one stands in for; '' for an original
    Column("fallback_of", String, nullable=False, default=""),
)

#: What the in-app channel shows: one row a message, read when `read_at` is set.
inbox = Table(
    "inbox",
    METADATA,
    Column("id", String, primary_key=True),
    Column("at", DateTime, nullable=False),
    Column("title", String, nullable=False),
    Column("body", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("status", String, nullable=False),
    Column("alert_id", String, nullable=False),
    Column("rule_id", String, nullable=False),
    Column("read_at", DateTime),
)

#: One row a send, recorded before it is tried; append-only but for its result.
delivery_attempts = Table(
    "delivery_attempts",
    METADATA,
    Column("id", String, primary_key=True),
    Column("notification_id", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("started_at", DateTime, nullable=False),
    Column("finished_at", DateTime),
    Column("result", String, nullable=False),
    Column("status", Integer),
    Column("duration_ms", Double),
    Column("answer", String, nullable=False),
    Column("error", String, nullable=False, default=""),
    Column("provider_id", String, nullable=False, default=""),
)

#: Virtual keys; `secrets` is JSON: digests, never a secret.
api_keys = Table(
    "api_keys",
    METADATA,
    Column("name", String, primary_key=True),
    Column("document", String, nullable=False),
    Column("secrets", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("updated_at", DateTime, nullable=False),
    Column("revoked_at", DateTime),
)

budgets = Table(
    "budgets",
    METADATA,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("document", String, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("updated_at", DateTime, nullable=False),
)

audit_log = Table(
    "audit_log",
    METADATA,
    Column("id", String, nullable=False),
    Column("at", DateTime, nullable=False),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("object_kind", String, nullable=False),
    Column("object_id", String, nullable=False),
    Column("detail", String, nullable=False),
)

leases = Table(
    "leases",
    METADATA,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires_at", DateTime, nullable=False),
)
