"""How the database came to its present shape: an ordered list of named steps, each applied once, in a transaction.

To change a table: change `data/schema.py`, and append a step here that brings an existing database there. On a new
database the first step made all tables as they are today: a later step finds its change done (IF NOT EXISTS).
"""

from collections.abc import Callable
from datetime import datetime

import duckdb
from sqlalchemy.schema import CreateTable

from data.compaction import record_everything
from data.database import Database
from data.derived import IS_DERIVED
from data.dialect import DIALECT
from data.protocol import naive_utc
from data.schema import (
    METADATA,
    alert_comments,
    alert_day_incidents,
    alert_day_notices,
    alert_days,
    api_keys,
    budgets,
    crosstalk_messages,
    crosstalk_sessions,
    derived_ids,
    jobs,
    provider_events,
    provider_limits,
    rate_buckets,
    schema_migrations,
    unmerged,
)

Step = Callable[[duckdb.DuckDBPyConnection], None]


def _create_tables(cursor: duckdb.DuckDBPyConnection) -> None:
    for table in METADATA.sorted_tables:
        cursor.execute(str(CreateTable(table, if_not_exists=True).compile(dialect=DIALECT)))


def _record_unmerged(cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute(str(CreateTable(unmerged, if_not_exists=True).compile(dialect=DIALECT)))
    record_everything(cursor)


def _add_attempts_columns(cursor: duckdb.DuckDBPyConnection) -> None:
    for column in ("cause VARCHAR DEFAULT 'first'", "credential VARCHAR DEFAULT ''", "liability_usd DECIMAL(18, 9)"):
        cursor.execute(f"ALTER TABLE requests ADD COLUMN IF NOT EXISTS {column}")


def _record_derived_ids(cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute(str(CreateTable(derived_ids, if_not_exists=True).compile(dialect=DIALECT)))
    cursor.execute(
        f"INSERT INTO derived_ids SELECT DISTINCT id FROM requests WHERE {IS_DERIVED} ON CONFLICT DO NOTHING"
    )


def _add_keys(cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute(str(CreateTable(api_keys, if_not_exists=True).compile(dialect=DIALECT)))


def _add_budgets(cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute(str(CreateTable(budgets, if_not_exists=True).compile(dialect=DIALECT)))


def _add_jobs(cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute(str(CreateTable(jobs, if_not_exists=True).compile(dialect=DIALECT)))


def _add_crosstalk(cursor: duckdb.DuckDBPyConnection) -> None:
    for table in (crosstalk_sessions, crosstalk_messages):
        cursor.execute(str(CreateTable(table, if_not_exists=True).compile(dialect=DIALECT)))


def _add_provider_events(cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute(str(CreateTable(provider_events, if_not_exists=True).compile(dialect=DIALECT)))


def _add_provisioned_from(cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute("ALTER TABLE rules ADD COLUMN IF NOT EXISTS provisioned_from VARCHAR DEFAULT ''")


def _add_bundles(cursor: duckdb.DuckDBPyConnection) -> None:
    for column in ("bundle VARCHAR DEFAULT ''", "held VARCHAR DEFAULT ''"):
        cursor.execute(f"ALTER TABLE notifications ADD COLUMN IF NOT EXISTS {column}")


def _add_rate_buckets(cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute(str(CreateTable(rate_buckets, if_not_exists=True).compile(dialect=DIALECT)))


def _add_flapping(cursor: duckdb.DuckDBPyConnection) -> None:
    for column in ("openings INTEGER DEFAULT 1", "flapping BOOLEAN DEFAULT false"):
        cursor.execute(f"ALTER TABLE alerts ADD COLUMN IF NOT EXISTS {column}")


def _add_handling(cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute(str(CreateTable(alert_comments, if_not_exists=True).compile(dialect=DIALECT)))
    for column in ("assignee VARCHAR DEFAULT ''", "version INTEGER DEFAULT 1"):
        cursor.execute(f"ALTER TABLE alerts ADD COLUMN IF NOT EXISTS {column}")


def _add_first_acknowledged_at(cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute("ALTER TABLE alerts ADD COLUMN IF NOT EXISTS first_acknowledged_at TIMESTAMP")
    cursor.execute("UPDATE alerts SET first_acknowledged_at = acknowledged_at WHERE first_acknowledged_at IS NULL")


def _add_alert_days(cursor: duckdb.DuckDBPyConnection) -> None:
    for table in (alert_days, alert_day_incidents, alert_day_notices):
        cursor.execute(str(CreateTable(table, if_not_exists=True).compile(dialect=DIALECT)))


def _add_job_alarms(cursor: duckdb.DuckDBPyConnection) -> None:
    columns = ("failing_since TIMESTAMP", "in_a_row INTEGER DEFAULT 0", "told_at TIMESTAMP")
    for column in (*columns, "alarmed BOOLEAN DEFAULT false"):
        cursor.execute(f"ALTER TABLE jobs ADD COLUMN IF NOT EXISTS {column}")


def _add_posted_at(cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute("ALTER TABLE inbox ADD COLUMN IF NOT EXISTS posted_at TIMESTAMP")


def _add_hanging_jobs(cursor: duckdb.DuckDBPyConnection) -> None:
    for column in ("hanging_since", "hanging_told_at"):
        cursor.execute(f"ALTER TABLE jobs ADD COLUMN IF NOT EXISTS {column} TIMESTAMP")


def _add_provider_limits(cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute(str(CreateTable(provider_limits, if_not_exists=True).compile(dialect=DIALECT)))


def _add_silence_versions(cursor: duckdb.DuckDBPyConnection) -> None:
    cursor.execute("ALTER TABLE silences ADD COLUMN IF NOT EXISTS version INTEGER DEFAULT 1")


MIGRATIONS: tuple[tuple[str, Step], ...] = (
    ("0001_create_tables", _create_tables),
    ("0002_record_unmerged", _record_unmerged),
    ("0003_add_attempts_columns", _add_attempts_columns),
    ("0004_record_derived_ids", _record_derived_ids),
    ("0005_add_keys", _add_keys),
    ("0006_add_budgets", _add_budgets),
    ("0007_add_jobs", _add_jobs),
    ("0008_add_crosstalk", _add_crosstalk),
    ("0009_add_provider_events", _add_provider_events),
    ("0010_add_provisioned_from", _add_provisioned_from),
    ("0011_add_bundles", _add_bundles),
    ("0012_add_rate_buckets", _add_rate_buckets),
    ("0013_add_flapping", _add_flapping),
    ("0014_add_handling", _add_handling),
    ("0015_add_first_acknowledged_at", _add_first_acknowledged_at),
    ("0016_add_alert_days", _add_alert_days),
    ("0017_add_job_alarms", _add_job_alarms),
    ("0018_add_posted_at", _add_posted_at),
    ("0019_add_provider_limits", _add_provider_limits),
    ("0020_add_hanging_jobs", _add_hanging_jobs),
    ("0021_add_silence_versions", _add_silence_versions),
)


def migrate(database: Database, now: datetime, migrations: tuple[tuple[str, Step], ...] = MIGRATIONS) -> list[str]:
    """Apply the steps that were not applied yet, in order; the names of those. `now` is recorded with each."""
    known = _applied(database)
    missing = [(name, step) for name, step in migrations if name not in known]
    for name, step in missing:
        with database.writing() as cursor:
            cursor.execute(str(CreateTable(schema_migrations, if_not_exists=True).compile(dialect=DIALECT)))
            step(cursor)
            cursor.execute("INSERT INTO schema_migrations (name, applied_at) VALUES (?, ?)", [name, naive_utc(now)])
    return [name for name, _ in missing]


def _applied(database: Database) -> set[str]:
    with database.reading() as cursor:
        begun = cursor.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [schema_migrations.name])
        if not begun.fetchall():
            return set()
        return {name for (name,) in cursor.execute("SELECT name FROM schema_migrations").fetchall()}
