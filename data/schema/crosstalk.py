"""Conversations of models with each other, which hold what was said. Times are naive UTC; money is US dollars."""

from sqlalchemy import BigInteger, Column, DateTime, Double, Integer, String, Table

from data.schema.ledger import METADATA, MONEY

#: One row a conversation; `document` is what was posted, `owner` the proxy that runs it.
crosstalk_sessions = Table(
    "crosstalk_sessions",
    METADATA,
    Column("id", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("status", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("message", String, nullable=False),
    Column("document", String, nullable=False),
    Column("turns", Integer, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_usd", MONEY),
    Column("created_at", DateTime, nullable=False),
    Column("updated_at", DateTime, nullable=False),
    Column("ended_at", DateTime),
)

#: One row a turn, append-only, numbered from 1 within its conversation.
crosstalk_messages = Table(
    "crosstalk_messages",
    METADATA,
    Column("session", String, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("participant", String, nullable=False),
    Column("model_requested", String, nullable=False),
    Column("model", String, nullable=False),
    Column("text", String, nullable=False),
    Column("stop_reason", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_usd", MONEY),
    Column("duration_ms", Double, nullable=False),
    Column("created_at", DateTime, nullable=False),
)
