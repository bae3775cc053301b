"""Rows whose id follows from their content are stored once."""

import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.config import StoreConfig
from data.database import Database
from data.derived import unknown
from data.errors import QueryRejected
from data.ingest import store_batch, stored_offset
from data.migrations import migrate
from data.model import Endpoint, Source
from data.protocol import Batch
from data.records import record_table
from data.store import connect
from tests.conftest import store_process
from tests.data.ledger import NOON, record

IMPORTED = {"source": Source.IMPORTED}
RESULT = {"endpoint": Endpoint.BATCH_RESULT}


def derived(name, number=1, **changes):
    return record(number, id=name, **(IMPORTED | changes))


def put(store, records, spool, first=1):
    return store.put(record_table(records), spool_id=spool, first=first, last=first + len(records) - 1)


def ids(store):
    return store.sql("SELECT id FROM requests ORDER BY rowid")["id"].to_list()


def counted(store):
    return store.sql("SELECT (SELECT sum(requests) FROM usage_minute), (SELECT sum(durations) FROM latency_hour)").row(
        0
    )


@pytest.mark.parametrize("kind", [IMPORTED, RESULT], ids=["imported", "batch result"])
def test_the_same_rows_of_two_spools_are_stored_and_counted_once(store, kind):
    rows = [record(n, **kind) for n in (1, 2, 3)]
    assert put(store, rows, "a") == put(store, rows[::-1], "b") == 3
    assert ids(store) == ["id-1", "id-2", "id-3"]
    assert counted(store) == (3, 3)


def test_what_another_spool_brings_on_top_is_stored(store):
    put(store, [derived("a"), derived("b")], "one")
    assert put(store, [derived("b"), derived("c")], "two") == 2
    assert ids(store) == ["a", "b", "c"]


def test_of_two_rows_with_one_id_in_a_batch_the_first_is_stored(store):
    put(store, [derived("a", 1), derived("b"), derived("a", 5)], "s")
    assert store.sql("SELECT id, output_tokens FROM requests").rows() == [("a", 5), ("b", 5)]


def test_other_rows_of_the_batch_stay_whatever_their_id(store):
    put(store, [derived("a")], "one")
    put(store, [record(1, id="a"), derived("a"), record(2), derived("b")], "two")
    assert ids(store) == ["a", "a", "id-2", "b"]
    assert counted(store) == (4, 4)


def test_a_batch_of_known_rows_moves_its_spool_on(store):
    rows = [derived("a"), derived("b")]
    put(store, rows, "one")
    assert put(store, rows, "two") == 2
    assert put(store, [record(3)], "two", first=3) == 3
    assert ids(store) == ["a", "b", "id-3"]


def test_only_derived_ids_are_written_down(store):
    put(store, [record(1), record(2, source=Source.DEMO), derived("a")], "s")
    assert store.sql("SELECT id FROM derived_ids")["id"].to_list() == ["a"]


def test_a_batch_that_fails_leaves_no_id_behind(store):
    rows = record_table([derived("a"), derived("b")])
    field = pa.field("provider", pa.string())
    broken = rows.set_column(rows.schema.get_field_index("provider"), field, pa.array(["anthropic", None]))
    with pytest.raises(QueryRejected):
        store.put(broken, spool_id="s", first=1, last=2)
    assert put(store, [derived("a"), derived("b")], "s") == 2
    assert ids(store) == ["a", "b"]


def test_a_killed_store_still_knows_them(config):
    with store_process(config) as process:
        put(connect(config), [derived("a"), derived("b")], "one")
        process.kill()
    with store_process(config):
        store = connect(config)
        put(store, [derived("b"), derived("c")], "two")
        put(store, [derived("a"), derived("b")], "one")
        assert ids(store) == ["a", "b", "c"]
        assert counted(store) == (3, 3)


def test_rows_from_before_the_ids_were_written_down_are_known(config):
    database = Database(config.database, config.store)
    migrate(database, NOON)
    with database.writing() as cursor:
        cursor.register("old", record_table([derived("a"), record(1, id="b", **RESULT), record(2)]))
        cursor.execute("INSERT INTO requests BY NAME SELECT * FROM old")
        cursor.execute("DROP TABLE derived_ids")
        cursor.execute("DELETE FROM schema_migrations WHERE name = '0004_record_derived_ids'")
    assert migrate(database, NOON) == ["0004_record_derived_ids"]
    with database.reading() as cursor:
        assert cursor.execute("FROM derived_ids ORDER BY id").fetchall() == [("a",), ("b",)]
    database.close()


def test_a_batch_without_derived_ids_costs_no_statement():
    rows = record_table([record(n) for n in range(5)])
    assert unknown(None, rows) is rows


batches = st.lists(
    st.tuples(st.sampled_from("abc"), st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=6)),
    max_size=8,
)


@settings(max_examples=25)
@given(batches)
def test_any_batches_of_any_spools_leave_each_derived_row_once_and_all_others(history):
    with tempfile.TemporaryDirectory(prefix="store-") as folder:
        database = Database(Path(folder) / "l.duckdb", StoreConfig(memory_limit="256MB", threads=1))
        migrate(database, NOON)
        expected, first = [], dict.fromkeys("abc", 1)
        for spool, rows in history:
            records = [record(n, **(IMPORTED if flag else {})) for n, flag in rows]
            with database.writing() as cursor:
                store_batch(
                    cursor, record_table(records), Batch(spool, first[spool], first[spool] + len(rows) - 1), NOON
                )
            first[spool] += len(rows)
            for row in records:
                if row.source != Source.IMPORTED or (row.id, "imported") not in expected:
                    expected.append((row.id, str(row.source)))
        with database.reading() as cursor:
            assert cursor.execute("SELECT id, source FROM requests ORDER BY rowid").fetchall() == expected
            assert cursor.execute("SELECT coalesce(sum(requests), 0) FROM usage_hour").fetchone() == (len(expected),)
            for spool in "abc":
                assert stored_offset(cursor, spool) == first[spool] - 1
        database.close()
