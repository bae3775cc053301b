import hashlib
from dataclasses import replace

import pytest
from sqlalchemy import insert

from data.client import FlightStore
from data.errors import DeadlineExceeded, QueryRejected, RowLimitExceeded, StoreUnavailable
from data.location import unix_location
from data.protocol import Ask
from data.records import record_table
from data.roles import READABLE
from data.schema import METADATA, channels
from data.store import Statement, connect
from data.tokens import Role, role_of, token_path
from tests.data.ledger import NOON, record

SECRET = "hunter2-very-secret"

ALLOWED = [
    "SELECT count(*) FROM requests",
    "FROM requests",
    "SELECT * FROM main.usage_hour",
    "SELECT 1; -- nothing more",
    "/* a note */ SELECT provider, sum(cost_usd) FROM requests GROUP BY ALL ORDER BY 2 DESC",
    "WITH daily AS (SELECT ended_at::DATE AS day FROM requests) SELECT day, count(*) FROM daily GROUP BY 1",
    "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n",
    "SELECT * FROM range(3) r(i), LATERAL (SELECT i + 1)",
    "SELECT unnest([1, 2]), 1",
    "SELECT row_number() OVER (ORDER BY ended_at) FROM requests",
    "SELECT tags ->> '$.branch' FROM requests",
    "SELECT tag.key, tag.value FROM requests, json_each(tags) AS tag",
    "SELECT a.id FROM requests a JOIN requests b USING (id) WHERE a.status IN (SELECT status FROM requests)",
    "SELECT 'DROP TABLE requests; read_csv(x)' AS harmless",
    "VALUES (1), (2)",
    "SELECT id FROM requests UNION SELECT name FROM rules",
]

NASTY = {
    # writes
    "insert": "INSERT INTO rules SELECT * FROM rules",
    "update": "UPDATE requests SET cost_usd = 0",
    "delete": "DELETE FROM requests",
    "delete returning": "DELETE FROM requests RETURNING *",
    "merge": "MERGE INTO leases USING (SELECT 1 AS x) s ON true WHEN MATCHED THEN DELETE",
    "truncate": "TRUNCATE requests",
    "insert behind a with": "WITH x AS (SELECT 1) INSERT INTO leases SELECT 'a', 'b', 1, now()",
    "dml in a with": "WITH gone AS (DELETE FROM requests RETURNING *) SELECT * FROM gone",
    # definitions
    "create table": "CREATE TABLE mine (a INTEGER)",
    "create temp table": "CREATE TEMP TABLE mine AS SELECT * FROM channels",
    "create view": "CREATE VIEW mine AS SELECT * FROM channels",
    "create macro": "CREATE MACRO f() AS TABLE SELECT * FROM channels",
    "create sequence": "CREATE SEQUENCE s",
    "create secret": "CREATE SECRET s (TYPE s3)",
    "create type": "CREATE TYPE mood AS ENUM ('a')",
    "alter": "ALTER TABLE requests ADD COLUMN x INTEGER",
    "drop": "DROP TABLE requests",
    "comment": "COMMENT ON TABLE requests IS 'x'",
    # files, other databases, extensions
    "attach": "ATTACH '/tmp/other.db' AS other",
    "detach": "DETACH analytics",
    "use": "USE analytics",
    "copy to": "COPY requests TO '/tmp/stolen.csv'",
    "copy from": "COPY requests FROM '/etc/passwd'",
    "copy database": "COPY FROM DATABASE analytics TO other",
    "export": "EXPORT DATABASE '/tmp/stolen'",
    "import": "IMPORT DATABASE '/tmp/stolen'",
    "install": "INSTALL httpfs",
    "load": "LOAD httpfs",
    "update extensions": "UPDATE EXTENSIONS",
    "read csv": "SELECT * FROM read_csv('/etc/passwd')",
    "read text": "SELECT * FROM read_text('/etc/passwd')",
    "read blob": "SELECT * FROM read_blob('/etc/passwd')",
    "read json": "SELECT * FROM read_json('/etc/passwd')",
    "read parquet": "SELECT * FROM read_parquet('/etc/passwd')",
    "parquet metadata": "SELECT * FROM parquet_metadata('/etc/passwd')",
    "read duckdb": "SELECT * FROM read_duckdb('/tmp/other.db')",
    "sniff": "SELECT * FROM sniff_csv('/etc/passwd')",
    "glob": "SELECT * FROM glob('/*')",
    "a file as a table": "SELECT * FROM '/etc/passwd'",
    "a url as a table": "SELECT * FROM 'https://example.com/x.csv'",
    "a file in a subquery": "SELECT (SELECT count(*) FROM read_text('/etc/passwd'))",
    # settings and the session
    "set": "SET memory_limit = '1TB'",
    "set global": "SET GLOBAL enable_external_access = true",
    "reset": "RESET lock_configuration",
    "pragma": "PRAGMA enable_profiling",
    "pragma assignment": "PRAGMA memory_limit = '1TB'",
    "pragma function": "PRAGMA table_info('channels')",
    "set variable": "SET VARIABLE x = 1",
    "get variable": "SELECT getvariable('x')",
    "begin": "BEGIN",
    "commit": "COMMIT",
    "rollback": "ROLLBACK",
    "prepare": "PREPARE p AS SELECT 1",
    "execute": "EXECUTE p",
    "deallocate": "DEALLOCATE p",
    # maintenance
    "checkpoint": "CHECKPOINT",
    "force checkpoint": "FORCE CHECKPOINT",
    "checkpoint function": "SELECT * FROM checkpoint()",
    "force checkpoint function": "SELECT * FROM force_checkpoint('analytics')",
    "vacuum": "VACUUM",
    "analyze": "ANALYZE",
    "call": "CALL pragma_version()",
    "call checkpoint": "CALL force_checkpoint()",
    "enable logging": "SELECT * FROM enable_logging()",
    "write log": "SELECT write_log('x')",
    "next value": "SELECT nextval('s')",
    "current value": "SELECT currval('s')",
    # explain
    "explain": "EXPLAIN SELECT 1",
    "explain analyze": "EXPLAIN ANALYZE INSERT INTO leases VALUES ('a', 'b', 1, now())",
    # more than one
    "two statements": "SELECT 1; SELECT 2",
    "a hidden second statement": "SELECT 1 /* ; */ ; /* */ DELETE FROM requests -- ;",
    "a second statement behind a comment": "SELECT 1 -- harmless\n; DROP TABLE requests",
    "nothing": "",
    "only a comment": "-- nothing",
    "pivot, which is two": "PIVOT requests ON provider USING count(*)",
    # secrets, and ways around the list of tables
    "a private table": "SELECT secret FROM channels",
    "a quoted private table": 'SELECT * FROM "channels"',
    "a private table in capitals": "SELECT * FROM CHANNELS",
    "a qualified private table": "SELECT * FROM analytics.main.channels",
    "a private table in a join": "SELECT * FROM requests JOIN channels ON true",
    "a private table in a subquery": "SELECT (SELECT max(secret) FROM channels)",
    "a private table in an exists": "SELECT 1 WHERE EXISTS (SELECT 1 FROM channels WHERE secret LIKE 'h%')",
    "a private table in a union": "SELECT 'x' UNION ALL SELECT secret FROM channels",
    "a private table in a with": "WITH c AS (SELECT * FROM channels) SELECT * FROM c",
    "a with of a private name": "WITH channels AS (SELECT * FROM channels) SELECT * FROM channels",
    "a with of a private name elsewhere": (
        "SELECT (WITH channels AS (SELECT 1 AS a) SELECT a FROM channels), secret FROM channels"
    ),
    "a private table in order by": "SELECT 1 ORDER BY (SELECT max(secret) FROM channels)",
    "a private table in a lateral": "SELECT * FROM requests, LATERAL (SELECT secret FROM channels)",
    "a private table in a limit": "SELECT 1 LIMIT (SELECT length(max(secret)) FROM channels)",
    "from first": "FROM channels",
    "table statement": "TABLE channels",
    "positional join": "SELECT * FROM requests POSITIONAL JOIN channels",
    "unpivot": "SELECT * FROM (UNPIVOT channels ON secret)",
    "pivot in a subquery": "SELECT * FROM (PIVOT channels ON kind USING max(secret))",
    "query function": "SELECT * FROM query('SELECT * FROM channels')",
    "query_table function": "SELECT * FROM query_table('channels')",
    "serialized sql": "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM channels'))",
    "serialized plan": "SELECT json_serialize_plan('SELECT * FROM channels')",
    "column statistics": "SELECT * FROM pragma_storage_info('channels')",
    "table sample": "SELECT * FROM duckdb_table_sample('channels')",
    "seq_scan": "SELECT * FROM seq_scan('channels')",
    "summarize": "SUMMARIZE channels",
    "describe": "DESCRIBE channels",
    "show": "SHOW TABLES",
    "summarize in a subquery": "SELECT * FROM (SUMMARIZE channels)",
    # what tells about the store
    "settings": "SELECT * FROM duckdb_settings()",
    "settings view": "SELECT * FROM duckdb_settings",
    "one setting": "SELECT current_setting('temp_directory')",
    "secrets": "SELECT * FROM duckdb_secrets()",
    "databases": "SELECT * FROM duckdb_databases()",
    "database list": "SELECT * FROM pragma_database_list",
    "master": "SELECT * FROM sqlite_master",
    "information schema": "SELECT * FROM information_schema.tables",
    "catalog": "SELECT * FROM pg_catalog.pg_class",
    "logs": "SELECT * FROM duckdb_logs()",
    "environment": "SELECT getenv('HOME')",
    # memory, time
    "a pointer": "SELECT * FROM arrow_scan(1234, 1234, 1234)",
    "another pointer": "SELECT * FROM pandas_scan(1234)",
    "a variable of the program": "SELECT * FROM rows",
    "sleep": "SELECT sleep_ms(100000)",
    "pg_sleep": "SELECT pg_sleep(100)",
    "sleep as a method": "SELECT (1000).sleep_ms()",
    "sleep in a lambda": "SELECT list_transform([1], lambda x: sleep_ms(x))",
    "text of any size": "SELECT repeat('x', 2000000000)",
    "padded text": "SELECT lpad('x', 2000000000, ' ')",
    "formatted text": "SELECT length(format('{:>20000000}', 1))",
    "formatted text as in C": "SELECT length(printf('%20000000d', 1))",
    "bits of any size": "SELECT bit_length(bitstring('1', 20000000))",
    "bits of a range": "SELECT bit_length(bitstring_agg(i, 0, 80000000)) FROM range(1) r(i)",
    "bins": "SELECT len(equi_width_bins(0, 1000000000, 1000000, false))",
    "a list of any size": "SELECT list_resize([1], 2000000000)",
    "another list of any size": "SELECT len(range(1000000000))",
    "a list of any size in a table function": "SELECT * FROM unnest(generate_series(1, 1000000000))",
    "nested too deeply": "SELECT " + "abs(" * 500 + "1" + ")" * 500,
}


@pytest.fixture
def filled(store):
    store.put(record_table([record(1), record(2)]), spool_id="s", first=1, last=2)
    values = {c.name: "" for c in channels.columns} | {"enabled": True, "created_at": NOON, "updated_at": NOON}
    store.transact([Statement(insert(channels).values(values | {"id": "1", "kind": "slack", "secret": SECRET}))])
    return store


def fingerprint(store):
    tables = "SELECT table_name, column_count, estimated_size FROM duckdb_tables() ORDER BY ALL"
    rows = {name: store.sql(f"FROM {name}").rows() for name in ("requests", "channels", "leases", "usage_hour")}
    settings = store.sql("SELECT name, value FROM duckdb_settings() WHERE name NOT LIKE '%memory%' ORDER BY ALL").rows()
    return hashlib.sha256(repr((store.sql(tables).rows(), rows, settings)).encode()).hexdigest()


@pytest.mark.parametrize("sql", ALLOWED)
def test_a_reader_may_ask(filled, reader, sql):
    reader.sql(sql)


def test_no_nasty_try_of_a_reader_succeeds_or_leaves_a_trace(filled, reader, home):
    before, files = fingerprint(filled), {path.name for path in home.iterdir()}
    through = []
    for name, sql in NASTY.items():
        try:
            through.append((name, reader.sql(sql, deadline_s=5).rows()))
        except QueryRejected as error:
            if SECRET in str(error):
                through.append((name, str(error)))
    assert through == []
    assert fingerprint(filled) == before
    assert {path.name for path in home.iterdir()} == files


def test_every_readable_table_can_be_read_and_no_other(filled, reader):
    for name in METADATA.tables:
        if name in READABLE:
            reader.sql(f'FROM "{name}"')
        else:
            with pytest.raises(QueryRejected):
                reader.sql(f'FROM "{name}"')


def test_tables_with_secrets_are_not_readable():
    secretive = {"channels", "api_keys", "users", "settings", "audit_log"}
    assert not secretive & READABLE


def test_a_reader_may_neither_put_nor_transact_nor_end_the_store(filled, reader):
    with pytest.raises(QueryRejected, match="only read"):
        reader.put(record_table([record(3)]), spool_id="s", first=3, last=3)
    with pytest.raises(QueryRejected, match="only read"):
        reader.transact([Statement("DELETE FROM requests")])
    with pytest.raises(QueryRejected, match="only read"):
        reader.checkpoint()
    with pytest.raises(QueryRejected, match="only read"):
        reader.shutdown()
    assert reader.sql("SELECT count(*) FROM requests").item() == 2


def test_a_writer_reads_only_with_select_too(filled):
    for sql in ("DELETE FROM requests", "SELECT 1; SELECT 2", "ATTACH 'x'", "COPY requests TO '/tmp/x.csv'"):
        with pytest.raises(QueryRejected):
            filled.sql(sql)


def test_not_even_a_writer_reaches_the_file_system(filled):
    with pytest.raises(QueryRejected, match="disabled by configuration"):
        filled.sql("SELECT * FROM read_text('/etc/passwd')")
    for sql in (
        "COPY requests TO '/tmp/stolen.csv'",
        "SET enable_external_access = true",
        "COMMIT",
        "SELECT 1; COMMIT",
    ):
        with pytest.raises(QueryRejected, match="statement 1 is not one"):
            filled.transact([Statement(sql)])


@pytest.fixture
def config(config):
    return replace(config, store=replace(config.store, reader_deadline_s=0.3, reader_max_rows=50))


def test_a_readers_limits_have_the_configured_ceiling(reader, store, running):
    with pytest.raises(RowLimitExceeded, match="more than 50 rows"):
        reader.sql("SELECT * FROM range(51)", max_rows=10**9)
    for longer in (600, float("nan")):
        ask = Ask("SELECT count(*) FROM range(10000000) a, range(10000000) b", [], longer, 1)
        with pytest.raises(DeadlineExceeded):
            running.service.get(ask, Role.READER, lambda: False)
    assert store.sql("SELECT * FROM range(51)").height == 51


@pytest.mark.parametrize("token", ["", "wrong", "Bearer", "two words"])
def test_without_a_token_the_socket_answers_nothing(running, config, token):
    stranger = FlightStore(unix_location(config.socket), token)
    with pytest.raises(StoreUnavailable, match="token"):
        stranger.sql("SELECT 1")
    with pytest.raises(StoreUnavailable, match="token"):
        stranger.ping()
    stranger.close()


def test_the_two_tokens_open_their_own_role():
    tokens = {Role.WRITER: "w" * 64, Role.READER: "r" * 64}
    assert role_of(tokens, "w" * 64) is Role.WRITER
    assert role_of(tokens, "r" * 64) is Role.READER
    assert role_of(tokens, "") is None


def test_tokens_are_made_once_for_the_owner_alone(running, config):
    for role in Role:
        path = token_path(config.home, role)
        assert path.stat().st_mode & 0o777 == 0o600
        assert len(path.read_text().strip()) == 64


def test_a_missing_token_says_where_it_was_looked_for(running, config):
    token_path(config.home, Role.READER).unlink()
    with pytest.raises(StoreUnavailable, match=r"reader\.token"):
        connect(config, Role.READER)
