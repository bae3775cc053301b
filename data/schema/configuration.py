"""Keys and budgets, who changed what, and who may act. Times are naive UTC."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Double, Integer, String, Table, false

from data.schema.ledger import METADATA

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

#: What the worker does regularly beside evaluating rules: one row a job, its last run.
jobs = Table(
    "jobs",
    METADATA,
    Column("name", String, primary_key=True),
    Column("started_at", DateTime, nullable=False),
    Column("duration_ms", Double, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("result", String, nullable=False),
    Column("runs", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    #: since when, and how often in a row, it fails; NULL and 0 while it works
    Column("failing_since", DateTime),
    Column("in_a_row", Integer, nullable=False, server_default="0"),
    #: when people were last told that it fails, and whether they wait to hear that it works again
    Column("told_at", DateTime),
    Column("alarmed", Boolean, nullable=False, server_default=false()),
    #: which run people were told of that it hangs, until they are told of its end; and when they were last told so
    Column("hanging_since", DateTime),
    Column("hanging_told_at", DateTime),
)
