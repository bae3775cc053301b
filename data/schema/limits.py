"""What providers say of their limits. Times are naive UTC."""

from sqlalchemy import Column, DateTime, Double, String, Table

from data.schema.ledger import METADATA

#: At most one row a limit, minute and proxy: the fullest reading of that minute. `proxy` is its spool's id.
provider_limits = Table(
    "provider_limits",
    METADATA,
    Column("proxy", String, primary_key=True),
    Column("provider", String, primary_key=True),
    Column("credential", String, primary_key=True),
    Column("limit", String, primary_key=True),
    Column("minute", DateTime, primary_key=True),
    Column("at", DateTime, nullable=False),
    Column("used_percent", Double, nullable=False),
    Column("remaining", Double, nullable=False),
    Column("most", Double, nullable=False),
    Column("reset_at", DateTime),
)
