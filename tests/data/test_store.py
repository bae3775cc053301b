from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import polars as pl
import pytest
from sqlalchemy import delete, func, insert, select, update

from data.answers import Answer
from data.errors import (
    ConflictError,
    DeadlineExceeded,
    QueryRejected,
    RowLimitExceeded,
    StoreUnavailable,
)
from data.protocol import Ask
from data.records import record_table
from data.schema import leases, requests
from data.serving import RunningStore
from data.store import Statement, connect
from tests.data.ledger import NOON, record

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def lease(name, holder="a", token=1):
    return Statement(insert(leases).values(name=name, holder=holder, token=token, expires_at=NOW))


def test_what_is_put_can_be_asked_for(store):
    rows = record_table([record(1), record(2)])
    assert store.put(rows, spool_id="s", first=1, last=2) == 2
    frame = store.frame(select(requests.c.id, requests.c.ended_at, requests.c.cost_usd).order_by(requests.c.id))
    assert frame.rows() == [("id-1", NOON, Decimal("0.001")), ("id-2", NOON, Decimal("0.002"))]
    assert frame.schema["ended_at"] == pl.Datetime("us", "UTC")


def test_an_aware_time_is_compared_as_utc(store):
    store.put(record_table([record(1)]), spool_id="s", first=1, last=1)
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    found = select(func.count()).select_from(requests).where(requests.c.ended_at == elsewhere)
    assert store.frame(found).item() == 1


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, -(2**40), 1.5, "text", b"bytes", Decimal("1.234567890"), date(2026, 1, 2), NOON,
        [1, 2, 3], ["a", "b"],
    ],
    ids=str,
)  # fmt: skip
def test_a_parameter_keeps_its_type(store, value):
    assert store.sql("SELECT ? AS v", [value]).rows()[0][0] == value


def test_a_list_parameter_of_times_arrives_as_times(store):
    assert store.sql("SELECT list_contains(?, TIMESTAMP '2026-03-01 12:00:00')", [[NOON]]).item() is True


def test_in_lists_are_bound(store):
    store.put(record_table([record(1), record(2), record(3)]), spool_id="s", first=1, last=3)
    frame = store.frame(select(requests.c.id).where(requests.c.id.in_(["id-1", "id-3"])).order_by("id"))
    assert frame["id"].to_list() == ["id-1", "id-3"]


def test_sums_of_integers_are_integers(store):
    store.put(record_table([record(1), record(2)]), spool_id="s", first=1, last=2)
    frame = store.frame(select(func.sum(requests.c.output_tokens).label("n")))
    assert frame.schema["n"] == pl.Int64
    assert frame.item() == 15


def test_an_integer_beyond_64_bits_is_refused_clearly(store):
    with pytest.raises(QueryRejected, match="64 bits"):
        store.sql("SELECT sum(9223372036854775807) FROM range(2)")


@pytest.mark.parametrize(
    "expression",
    ["DATE '2026-01-01'", "TIME '12:00'", "uuid()", "[1]", "{'a': 1}", "MAP {'a': 1}", "'x'::BLOB", "1::UTINYINT",
     "TIMESTAMP_NS '2026-01-01 00:00:00.000000001'", "now()", "1.5::DECIMAL(38, 9)", "NULL", "2::UHUGEINT",
     "'a'::ENUM('a', 'b')", "INTERVAL 1 DAY", "'101'::BIT", "TIMETZ '12:00:00+01'"],
)  # fmt: skip
def test_any_type_becomes_a_frame_or_a_clear_refusal(store, expression):
    try:
        assert store.sql(f"SELECT {expression} AS v").height == 1
    except QueryRejected as error:
        assert "cast it" in str(error)  # noqa: PT017


def test_an_empty_answer_has_its_columns(store):
    frame = store.frame(select(requests.c.id, requests.c.ended_at))
    assert frame.columns == ["id", "ended_at"]
    assert frame.is_empty()


def test_a_transaction_answers_its_affected_rows(store):
    affected = store.transact(
        [lease("x"), lease("y"), Statement(update(leases).values(token=2)), Statement(delete(leases), expect=2)],
    )
    assert affected == [1, 1, 2, 2]


def test_text_statements_take_their_parameters_in_order(store):
    store.transact([Statement("INSERT INTO leases VALUES (?, ?, ?, ?)", ("x", "me", 7, NOW))])
    assert store.sql("SELECT token FROM leases").item() == 7


def test_a_statement_takes_named_parameters(store):
    store.transact([Statement(insert(leases), {"name": "n", "holder": "h", "token": 1, "expires_at": NOW})])
    assert store.sql("SELECT holder FROM leases").item() == "h"


def test_an_expectation_that_fails_undoes_everything(store):
    store.transact([lease("x")])
    with pytest.raises(ConflictError, match="statement 2 changed 0 rows where 1 were expected"):
        store.transact([lease("y"), Statement(update(leases).where(leases.c.name == "gone").values(token=2), expect=1)])
    assert store.sql("SELECT name FROM leases")["name"].to_list() == ["x"]


def test_a_second_row_under_one_key_is_a_conflict(store):
    store.transact([lease("x")])
    with pytest.raises(ConflictError):
        store.transact([lease("x", holder="b")])
    assert store.sql("SELECT holder FROM leases").item() == "a"


def test_a_statement_that_is_not_sql_is_rejected_and_nothing_stays(store):
    with pytest.raises(QueryRejected):
        store.transact([lease("x"), Statement("DELETE FORM leases")])
    assert store.sql("SELECT count(*) FROM leases").item() == 0


def test_more_rows_than_allowed_is_an_error_not_a_cut(store):
    assert store.sql("SELECT * FROM range(10)", max_rows=10).height == 10
    with pytest.raises(RowLimitExceeded, match="more than 9 rows"):
        store.sql("SELECT * FROM range(10)", max_rows=9)


def test_a_query_that_makes_the_process_grow_too_much_is_ended(store, running):
    endless = Ask("SELECT count(*) FROM range(10000000) a, range(10000000) b", [], deadline_s=60, max_rows=1)
    with pytest.raises(DeadlineExceeded, match="too much memory"):
        Answer(running.database, endless, lambda _: None, growth=-1)
    assert store.sql("SELECT 1").item() == 1


def test_a_query_ends_at_its_deadline(store):
    with pytest.raises(DeadlineExceeded, match="time limit"):
        store.sql("SELECT count(*) FROM range(10000000) a, range(10000000) b", deadline_s=0.3)
    assert store.sql("SELECT 1").item() == 1


def test_a_stream_ends_at_its_deadline(store):
    stream = store.batches("SELECT a.range FROM range(10000000) a, range(10000000) b", deadline_s=0.3, max_rows=10**15)
    with pytest.raises(DeadlineExceeded):
        for _ in stream:
            pass


def test_batches_stream_a_large_answer(store):
    batches = list(store.batches("SELECT range AS n, TIMESTAMP '2026-01-01' AS t FROM range(100000)"))
    assert len(batches) > 1
    assert sum(batch.num_rows for batch in batches) == 100_000
    assert str(batches[0].schema.field("t").type) == "timestamp[us, tz=UTC]"


def test_a_stream_may_be_left_early(store, running):
    stream = store.batches("SELECT * FROM range(10000000)", max_rows=10**9)
    next(stream)
    stream.close()
    assert store.sql("SELECT 1").item() == 1


def test_no_store_is_said_quickly(config):
    with pytest.raises(StoreUnavailable):
        connect(config)


def test_a_connection_survives_a_restart_of_the_store(config):
    first = RunningStore(config)
    client = connect(config)
    client.transact([lease("x")])
    first.stop()
    with pytest.raises(StoreUnavailable):
        client.sql("SELECT 1")
    second = RunningStore(config)
    try:
        assert client.sql("SELECT name FROM leases").item() == "x"
        assert client.transact([lease("y")]) == [1]
    finally:
        client.close()
        second.stop()


def test_ping_tells_how_the_store_is(store):
    assert store.ping().last_put_at is None
    store.put(record_table([record(1)]), spool_id="s", first=1, last=1)
    status = store.ping()
    assert status.database_bytes > 0
    assert status.wal_bytes > 0
    assert status.last_put_at is not None
    store.checkpoint()
    assert store.ping().wal_bytes == 0
