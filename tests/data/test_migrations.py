from datetime import UTC, datetime

import pytest

from data.database import Database
from data.dialect import DIALECT
from data.errors import QueryRejected
from data.migrations import MIGRATIONS, migrate
from data.schema import METADATA

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def database(config):
    database = Database(config.database, config.store)
    yield database
    database.close()


def applied(database):
    with database.reading() as cursor:
        return [name for (name,) in cursor.execute("SELECT name FROM schema_migrations ORDER BY name").fetchall()]


def test_the_first_start_makes_every_declared_table_with_its_columns(database):
    migrate(database, NOW)
    with database.reading() as cursor:
        rows = cursor.execute("SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal").fetchall()
    assert set(rows) == {(table.name, column.name) for table in METADATA.tables.values() for column in table.columns}


def test_a_step_is_applied_once(database):
    assert migrate(database, NOW) == [name for name, _ in MIGRATIONS]
    assert migrate(database, NOW) == []
    assert applied(database) == sorted(name for name, _ in MIGRATIONS)


def test_a_start_with_nothing_to_apply_writes_nothing(database, monkeypatch):
    migrate(database, NOW)
    monkeypatch.setattr(database, "writing", None)
    assert migrate(database, NOW) == []


def test_steps_run_in_order_each_after_the_ones_before(database):
    steps = (
        ("1", lambda cursor: cursor.execute("CREATE TABLE t (a INTEGER)")),
        ("2", lambda cursor: cursor.execute("ALTER TABLE t ADD COLUMN b INTEGER")),
    )
    assert migrate(database, NOW, steps[:1]) == ["1"]
    assert migrate(database, NOW, steps) == ["2"]


def test_a_step_that_fails_leaves_nothing_and_the_next_start_tries_again(database):
    def half(cursor):
        cursor.execute("CREATE TABLE t (a INTEGER)")
        cursor.execute("nonsense")

    with pytest.raises(QueryRejected):
        migrate(database, NOW, (("1", half),))
    with database.reading() as cursor:
        assert cursor.execute("SELECT table_name FROM duckdb_tables()").fetchall() == []
    assert migrate(database, NOW, (("1", lambda cursor: cursor.execute("CREATE TABLE t (a INTEGER)")),)) == ["1"]


def test_names_are_unique_and_in_order():
    names = [name for name, _ in MIGRATIONS]
    assert names == sorted(set(names))


def test_a_ledger_from_before_attempts_had_causes_keeps_its_rows(database):
    migrate(database, NOW)
    with database.writing() as cursor:
        cursor.execute("DELETE FROM schema_migrations WHERE name = '0003_add_attempts_columns'")
        for column in ("cause", "credential", "liability_usd"):
            cursor.execute(f"ALTER TABLE requests DROP COLUMN {column}")
        columns = "id, request_id, attempt, started_at, ended_at, stream, status, duration_ms, overhead_ms"
        counts = [
            c.name for c in METADATA.tables["requests"].columns if c.name.endswith(("_tokens", "_bytes", "units"))
        ]
        texts = [
            c.name
            for c in METADATA.tables["requests"].columns
            if not c.nullable and c.name not in {*columns.split(", "), *counts, "cause", "credential"}
        ]
        names = ", ".join([columns, *counts, *(f'"{text}"' for text in texts)])
        values = ["'a', 'a', 1, now(), now(), false, 200, 1, 1", *(["0"] * len(counts)), *(["''"] * len(texts))]
        cursor.execute(f"INSERT INTO requests ({names}) VALUES ({', '.join(values)})")
    assert migrate(database, NOW) == ["0003_add_attempts_columns"]
    with database.reading() as cursor:
        found = cursor.execute("SELECT id, cause, credential, liability_usd FROM requests").fetchall()
    assert found == [("a", "first", "", None)]


def test_incidents_and_notices_of_before_get_what_was_added_since(database):
    """The tables as they were at 0006, with a row each."""
    later = ("bundle", "held", "openings", "flapping", "assignee", "version", "first_acknowledged_at")
    with database.writing() as cursor:
        for name in ("alerts", "notifications"):
            columns = [column for column in METADATA.tables[name].columns if column.name not in later]
            shape = ", ".join(f'"{c.name}" {c.type.compile(dialect=DIALECT)}' for c in columns)
            key = ", PRIMARY KEY (id)"
            cursor.execute(f"CREATE TABLE {name} ({shape}{key})")
            cursor.execute(f"INSERT INTO {name} (id) VALUES ('1')")
        cursor.execute("UPDATE alerts SET acknowledged_at = '2026-02-03'")

    migrate(database, NOW)

    with database.reading() as cursor:
        found = cursor.execute("SELECT openings, flapping, assignee, version FROM alerts").fetchall()
        assert found == [(1, False, "", 1)]
        found = cursor.execute("SELECT first_acknowledged_at = acknowledged_at FROM alerts").fetchall()
        assert found == [(True,)]
        assert cursor.execute("SELECT bundle, held FROM notifications").fetchall() == [("", "")]


@pytest.mark.parametrize(
    ("step", "tables"),
    [
        ("0016_add_alert_days", ("alert_days", "alert_day_incidents", "alert_day_notices")),
        ("0019_add_provider_limits", ("provider_limits",)),
    ],
    ids=["days of incidents", "providers' limits"],
)
def test_a_database_from_before_there_were_these_tables_gets_them(database, step, tables):
    migrate(database, NOW)
    with database.writing() as cursor:
        cursor.execute("DELETE FROM schema_migrations WHERE name = ?", [step])
        for table in tables:
            cursor.execute(f"DROP TABLE {table}")
    assert migrate(database, NOW) == [step]
    with database.reading() as cursor:
        for table in tables:
            names = [column.name for column in METADATA.tables[table].columns]
            assert [column[0] for column in cursor.execute(f"SELECT * FROM {table}").description] == names


def test_a_job_of_before_alarms_alarms_nobody_yet(database):
    migrate(database, NOW)
    added = ("failing_since", "in_a_row", "told_at", "alarmed")
    with database.writing() as cursor:
        cursor.execute("DELETE FROM schema_migrations WHERE name = '0017_add_job_alarms'")
        later = (*added, "hanging_since", "hanging_told_at")
        names = [column.name for column in METADATA.tables["jobs"].columns if column.name not in later]
        for column in added:
            cursor.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
        cursor.execute(f"INSERT INTO jobs ({', '.join(names)}) VALUES ('retention', now(), 1, false, 'x', 2, 1)")
    assert migrate(database, NOW) == ["0017_add_job_alarms"]
    with database.reading() as cursor:
        assert cursor.execute(f"SELECT {', '.join(added)} FROM jobs").fetchall() == [(None, 0, None, False)]


def test_a_job_of_before_hanging_ones_were_known_hangs_not(database):
    migrate(database, NOW)
    added = ("hanging_since", "hanging_told_at")
    with database.writing() as cursor:
        cursor.execute("DELETE FROM schema_migrations WHERE name = '0020_add_hanging_jobs'")
        for column in added:
            cursor.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
        names = "name, started_at, duration_ms, ok, result, runs, failures"
        cursor.execute(f"INSERT INTO jobs ({names}) VALUES ('retention', now(), 1, true, 'x', 2, 0)")
    assert migrate(database, NOW) == ["0020_add_hanging_jobs"]
    with database.reading() as cursor:
        assert cursor.execute(f"SELECT {', '.join(added)}, runs FROM jobs").fetchall() == [(None, None, 2)]


def test_a_silence_of_before_versions_is_at_its_first(database):
    migrate(database, NOW)
    with database.writing() as cursor:
        cursor.execute("DELETE FROM schema_migrations WHERE name = '0021_add_silence_versions'")
        cursor.execute("ALTER TABLE silences DROP COLUMN version")
        cursor.execute("INSERT INTO silences VALUES ('1', '{}', now(), now(), '', '', now())")
    assert migrate(database, NOW) == ["0021_add_silence_versions"]
    with database.reading() as cursor:
        assert cursor.execute("SELECT id, version FROM silences").fetchall() == [("1", 1)]


def test_messages_of_before_keep_without_when_they_were_written(database):
    migrate(database, NOW)
    with database.writing() as cursor:
        cursor.execute("DELETE FROM schema_migrations WHERE name = '0018_add_posted_at'")
        cursor.execute("ALTER TABLE inbox DROP COLUMN posted_at")
        cursor.execute("INSERT INTO inbox VALUES ('1', now(), '', '', '', '', '', '', NULL)")
    assert migrate(database, NOW) == ["0018_add_posted_at"]
    with database.reading() as cursor:
        assert cursor.execute("SELECT id, posted_at FROM inbox").fetchall() == [("1", None)]
