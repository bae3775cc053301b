import tempfile
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data import compaction
from data.compaction import Unmerged, compact
from data.config import StoreConfig
from data.database import Database
from data.errors import StoreError
from data.ingest import store_batch
from data.latency import bucket_of
from data.measures import MEASURE_SQL
from data.migrations import migrate
from data.model import Outcome
from data.protocol import Batch
from data.records import record_table
from data.rollups import ROLLUPS
from data.schema import ROLLUP_DIMENSIONS, ROLLUP_MEASURES
from tests.data.ledger import NOON, record

DAYS_LATER = NOON + timedelta(days=3)
DIMENSIONS = ", ".join(f'"{name}"' for name in ROLLUP_DIMENSIONS)


class Ledger:
    """A database, and what a spool would do to it."""

    def __init__(self, path):
        self.path = path
        self.unmerged = Unmerged()
        self.database = Database(path, StoreConfig(memory_limit="256MB", threads=1))
        migrate(self.database, NOON)

    def put(self, records, first, spool="s"):
        batch = Batch(spool, first, first + len(records) - 1)
        with self.database.writing() as cursor:
            _, fresh = store_batch(cursor, record_table(records), batch, NOON)
            recorded = self.unmerged.record(cursor, fresh["ended_at"])
        self.unmerged.remember(recorded)

    def restart(self):
        self.database.close()
        self.database = Database(self.path, StoreConfig(memory_limit="256MB", threads=1))
        self.unmerged = Unmerged()

    def rows(self, sql):
        with self.database.reading() as cursor:
            return cursor.execute(sql).fetchall()


def grouped_rows(ledger, rollup, measures, source):
    time = "time" if source == rollup.usage.name else f"date_trunc('{rollup.grain}', ended_at)"
    return ledger.rows(f"SELECT {time}, {DIMENSIONS}, {measures} FROM {source} GROUP BY ALL ORDER BY ALL")


def assert_rollups_equal_requests(ledger):
    sums = ", ".join(f"sum({name})::DOUBLE" for name in ROLLUP_MEASURES)
    truth = ", ".join(f"({MEASURE_SQL.get(name, f'sum({name})')})::DOUBLE" for name in ROLLUP_MEASURES)
    for rollup in ROLLUPS:
        found = grouped_rows(ledger, rollup, sums, rollup.usage.name)
        expected = grouped_rows(ledger, rollup, truth, "requests")
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert one[: -len(ROLLUP_MEASURES)] == other[: -len(ROLLUP_MEASURES)]
            assert one[-len(ROLLUP_MEASURES) :] == pytest.approx(other[-len(ROLLUP_MEASURES) :])
        assert latency_counts(ledger, rollup) == true_latency_counts(ledger)


def latency_counts(ledger, rollup):
    sql = f"SELECT bucket, sum(durations)::INT, sum(ttfts)::INT FROM {rollup.latency.name} GROUP BY 1 ORDER BY 1"
    return ledger.rows(sql)


def true_latency_counts(ledger):
    counts = {}
    for duration, ttft in ledger.rows("SELECT duration_ms, ttft_ms FROM requests"):
        counts.setdefault(bucket_of(duration), [0, 0])[0] += 1
        if ttft is not None:
            counts.setdefault(bucket_of(ttft), [0, 0])[1] += 1
    return [(bucket, *pair) for bucket, pair in sorted(counts.items())]


@pytest.fixture
def ledger(home):
    ledger = Ledger(home / "ledger.duckdb")
    yield ledger
    ledger.database.close()


def test_every_measure_has_a_meaning():
    assert set(MEASURE_SQL) <= set(ROLLUP_MEASURES)


@pytest.mark.parametrize(
    ("changes", "measure"),
    [
        ({"outcome": Outcome.ERROR}, {"errors": 1}),
        ({"outcome": Outcome.PARTIAL}, {"errors": 1}),
        ({"outcome": Outcome.TIMEOUT}, {"errors": 1}),
        ({"outcome": Outcome.INTERRUPTED}, {"errors": 1}),
        ({"outcome": Outcome.DISCONNECTED}, {"errors": 0}),  # the client's choice, not a fault
        ({"outcome": Outcome.OK}, {"errors": 0}),
        ({"status": 429}, {"rate_limited": 1}),
        ({"attempt": 2}, {"fallbacks": 1}),
        ({"attempt": 1}, {"fallbacks": 0}),
        ({"cost_usd": None, "cost_status": "unpriced"}, {"unpriced": 1, "cost_usd": 0}),
        ({"cost_status": "estimated"}, {"estimated": 1}),
        ({"ttft_ms": 12.5}, {"ttft_ms": 12.5, "ttft_requests": 1}),
        ({"ttft_ms": None}, {"ttft_ms": 0, "ttft_requests": 0}),
    ],
    ids=str,
)
def test_a_measure_of_one_request(ledger, changes, measure):
    ledger.put([record(1, **changes)], 1)
    assert ledger.rows(f"SELECT {', '.join(measure)} FROM usage_minute") == [tuple(measure.values())]


def test_time_is_the_minute_and_the_hour_in_which_a_request_ended(ledger):
    ledger.put([record(1, at=NOON.replace(minute=59, second=59))], 1)
    assert ledger.rows("SELECT strftime(time, '%H:%M:%S') FROM usage_minute") == [("12:59:00",)]
    assert ledger.rows("SELECT strftime(time, '%H:%M:%S') FROM usage_hour") == [("12:00:00",)]


def test_a_closed_hour_is_merged_and_an_open_one_is_not(ledger):
    for number in range(4):
        ledger.put([record(2, at=NOON)], number + 1)
    assert compact(ledger.database, ledger.unmerged, NOON + timedelta(minutes=59)) == 0
    assert ledger.rows("SELECT count(*) FROM usage_minute") == [(4,)]
    assert compact(ledger.database, ledger.unmerged, NOON + timedelta(minutes=63)) > 0
    assert ledger.rows("SELECT count(*), sum(requests)::INT FROM usage_minute") == [(1, 4)]
    assert ledger.rows("SELECT count(*) FROM usage_hour") == [(4,)]  # its day is still open
    compact(ledger.database, ledger.unmerged, DAYS_LATER)
    assert ledger.rows("SELECT count(*), sum(requests)::INT FROM usage_hour") == [(1, 4)]
    assert_rollups_equal_requests(ledger)


def test_a_late_row_of_a_merged_hour_is_merged_again(ledger):
    ledger.put([record(2)], 1)
    compact(ledger.database, ledger.unmerged, DAYS_LATER)
    ledger.put([record(2)], 2)
    compact(ledger.database, ledger.unmerged, DAYS_LATER)
    assert ledger.rows("SELECT count(*), sum(requests)::INT FROM usage_minute") == [(1, 2)]


def test_a_restart_finds_what_is_left_to_merge(ledger):
    for number in range(3):
        ledger.put([record(2)], number + 1)
    ledger.restart()
    assert compact(ledger.database, ledger.unmerged, DAYS_LATER) > 0
    ledger.restart()
    assert compact(ledger.database, ledger.unmerged, DAYS_LATER) == 0


def test_hours_in_which_nothing_shares_its_keys_are_not_written_again(ledger, monkeypatch):
    ledger.put([record(n, at=NOON + timedelta(hours=n)) for n in range(30)], 1)
    merged = []
    monkeypatch.setattr(compaction, "_merge", lambda _cursor, table, start, _end: merged.append((table.name, start)))
    assert compact(ledger.database, ledger.unmerged, DAYS_LATER) == 0
    assert merged == []
    assert ledger.rows("FROM unmerged") == []


def test_what_gets_rows_is_written_down_once(ledger):
    for number in range(1, 4):
        ledger.put([record(number)], number)
    hour, day = NOON.replace(tzinfo=None), NOON.replace(hour=0, tzinfo=None)
    expected = [(rollup.grain, hour if rollup.closes == "hour" else day) for rollup in ROLLUPS]
    assert ledger.rows("FROM unmerged ORDER BY rollup DESC") == [
        *((f"usage_{grain}", start) for grain, start in expected),
        *((f"latency_{grain}", start) for grain, start in expected),
    ]


def test_rows_that_come_while_an_hour_is_merged_are_written_down_again(ledger):
    with ledger.database.writing() as cursor:
        recorded = ledger.unmerged.record(cursor, record_table([record(1)])["ended_at"])
    compact(ledger.database, ledger.unmerged, DAYS_LATER)
    ledger.unmerged.remember(recorded)  # later than the merge that struck it out
    ledger.put([record(1)], 1)
    assert ledger.rows("SELECT count(*) FROM unmerged") == [(4,)]


@pytest.mark.parametrize("ended_at", [3 * 10**17, -(10**17)], ids=["the year 11476", "before Christ"])
def test_a_time_beyond_any_calendar_stops_neither_a_batch_nor_a_merge(ledger, ended_at):
    ledger.put([msgspec.structs.replace(record(1), ended_at=ended_at), record(2), record(2)], 1)
    ledger.put([record(2)], 4)
    assert compact(ledger.database, ledger.unmerged, DAYS_LATER) > 0
    assert ledger.rows("SELECT count(*), sum(requests)::INT FROM usage_minute") == [(2, 4)]


def test_a_database_from_before_merges_were_written_down_is_looked_through(ledger):
    for number in range(1, 4):
        ledger.put([record(2)], number)
    with ledger.database.writing() as cursor:
        cursor.execute("DROP TABLE unmerged")
        cursor.execute("DELETE FROM schema_migrations WHERE name > '0001_create_tables'")
    assert migrate(ledger.database, NOON)[0] == "0002_record_unmerged"
    assert compact(ledger.database, ledger.unmerged, DAYS_LATER) > 0
    assert ledger.rows("SELECT count(*) FROM usage_minute") == [(1,)]


def test_what_could_not_be_merged_is_merged_the_next_time(ledger, monkeypatch):
    for hour in (0, 5, 9):
        for n in range(2):
            ledger.put([record(2, at=NOON + timedelta(hours=hour))], 10 * hour + n + 1)
    whole, calls = compaction._merge, []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise StoreError("full")
        return whole(*arguments)

    monkeypatch.setattr(compaction, "_merge", failing)
    with pytest.raises(StoreError):
        compact(ledger.database, ledger.unmerged, DAYS_LATER)
    assert ledger.rows("SELECT count(*) FROM usage_minute") == [(5,)]
    calls.append(())
    compact(ledger.database, ledger.unmerged, DAYS_LATER)
    assert ledger.rows("SELECT count(*) FROM usage_minute") == [(3,)]


def test_a_query_begun_before_a_merge_sees_the_same_sums(ledger):
    for number in range(3):
        ledger.put([record(2)], number + 1)
    with ledger.database.reading() as cursor:
        before = cursor.execute("SELECT count(*) FROM usage_minute").fetchall()
        compact(ledger.database, ledger.unmerged, DAYS_LATER)
        assert cursor.execute("SELECT count(*) FROM usage_minute").fetchall() == before
    assert ledger.rows("SELECT sum(requests)::INT FROM usage_minute") == [(3,)]


def test_neighbouring_hours_are_merged_together():
    hours = [NOON + timedelta(hours=n) for n in (0, 1, 2, 5)]
    runs = list(compaction._runs(hours, timedelta(hours=1)))
    assert runs == [(NOON, NOON + timedelta(hours=3)), (NOON + timedelta(hours=5), NOON + timedelta(hours=6))]


offsets = st.integers(min_value=0, max_value=3 * 24 * 3600)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(offsets, min_size=1, max_size=6)),
        st.tuples(st.just("again"), st.integers(1, 8)),
        st.tuples(st.just("compact"), offsets),
        st.tuples(st.just("restart"), st.none()),
    ),
    max_size=12,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_rollups_equal_requests_after_any_history(history):
    with tempfile.TemporaryDirectory(prefix="store-") as folder:
        ledger, records = Ledger(Path(folder) / "l.duckdb"), []
        try:
            for kind, detail in history:
                play(ledger, records, kind, detail)
            assert_rollups_equal_requests(ledger)
            assert ledger.rows("SELECT count(*), count(DISTINCT id) FROM requests") == [(len(records), len(records))]
        finally:
            ledger.database.close()


def play(ledger, records, kind, detail):
    if kind == "put":
        first = len(records) + 1
        records += [record(first + i, at=NOON + timedelta(seconds=s)) for i, s in enumerate(detail)]
        ledger.put(records[first - 1 :], first)
    elif kind == "again" and records:
        first = max(1, len(records) - detail)
        ledger.put(records[first - 1 :], first)
    elif kind == "compact":
        compact(ledger.database, ledger.unmerged, NOON + timedelta(seconds=detail))
    elif kind == "restart":
        ledger.restart()
