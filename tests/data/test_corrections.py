"""Rows that are put right later, and the rollups with them."""

from datetime import timedelta
from decimal import Decimal

import pytest

from data.compaction import compact
from data.corrections import correcting
from data.errors import ConflictError
from data.measures import MEASURE_SQL
from data.records import record_table
from data.rollups import ROLLUPS
from data.schema import ROLLUP_DIMENSIONS, ROLLUP_MEASURES
from tests.data.ledger import NOON, record

DIMENSIONS = ", ".join(f'"{name}"' for name in ROLLUP_DIMENSIONS)
EXACT = [name for name in ROLLUP_MEASURES if not name.endswith("_ms")]


def put(store, records, first=1):
    store.put(record_table(records), spool_id="s", first=first, last=first + len(records) - 1)


def sums_agree(store):
    """Whether every usage rollup says what a GROUP BY over `requests` says."""
    truth = ", ".join(f"({MEASURE_SQL.get(name, f'sum({name})')})::DECIMAL(38,9) AS {name}" for name in EXACT)
    sums = ", ".join(f"sum({name})::DECIMAL(38,9) AS {name}" for name in EXACT)
    for rollup in ROLLUPS:
        time = f"date_trunc('{rollup.grain}', ended_at) AS time"
        expected = store.sql(f"SELECT {time}, {DIMENSIONS}, {truth} FROM requests GROUP BY ALL ORDER BY ALL")
        found = store.sql(f"SELECT time, {DIMENSIONS}, {sums} FROM {rollup.usage.name} GROUP BY ALL ORDER BY ALL")
        assert found.rows() == expected.rows()
    return True


def correction(row, **changes):
    was = {f"was_{name}": getattr(row, name) for name in changes}
    return {"id": row.id, "ended_at": NOON} | was | changes


def test_a_corrected_row_and_its_rollups_agree(store):
    rows = [record(n) for n in range(1, 15)]
    put(store, rows)
    store.transact(correcting([correction(rows[4], cost_usd=Decimal("7.25"), output_tokens=9)]))
    found = store.sql("SELECT cost_usd, output_tokens FROM requests WHERE id = 'id-5'")
    assert found.row(0) == (Decimal("7.25"), 9)
    assert sums_agree(store)


def test_a_row_without_a_cost_gets_one_and_is_no_longer_counted_as_unpriced(store):
    row = record(7)
    put(store, [record(6), row])
    assert store.sql("SELECT sum(unpriced)::INT FROM usage_hour").item() == 1
    store.transact(correcting([correction(row, cost_usd=Decimal("0.000000001"), cost_status="exact")]))
    assert store.sql("SELECT sum(unpriced)::INT FROM usage_hour").item() == 0
    assert sums_agree(store)


def test_corrected_hours_are_merged_again(store, running):
    rows = [record(n, at=NOON + timedelta(hours=n % 3)) for n in range(1, 30)]
    put(store, rows)
    later = NOON + timedelta(days=3)
    compact(running.database, running.service.unmerged, later)
    before = store.sql("SELECT count(*) FROM usage_minute").item()
    fixed = [
        {"id": r.id, "ended_at": NOON + timedelta(hours=n % 3), "cost_usd": Decimal(n)} for n, r in enumerate(rows, 1)
    ]
    store.transact(correcting(fixed))
    assert store.sql("SELECT count(*) FROM usage_minute").item() > before
    compact(running.database, running.service.unmerged, later)
    assert store.sql("SELECT count(*) FROM usage_minute").item() == before
    assert sums_agree(store)


def test_what_changes_no_sum_adds_no_row(store):
    rows = [record(7 * n, model="m", key="", team="", outcome="ok", status=200, stream=True) for n in range(1, 40)]
    put(store, rows)
    before = store.sql("FROM usage_minute").rows()
    store.transact(correcting([correction(row, cost_note="seen") for row in rows]))
    assert store.sql("FROM usage_minute").rows() == before


def test_a_correction_leaves_the_sums_of_milliseconds_to_the_last_digit(store):
    row = record(1, duration_ms=0.1, overhead_ms=0.2, ttft_ms=0.3)
    put(store, [row])
    sums = "SELECT sum(duration_ms), sum(overhead_ms), sum(ttft_ms) FROM usage_hour"
    before = store.sql(sums).row(0)
    store.transact(correcting([correction(row, output_tokens=1)]))
    assert store.sql(sums).row(0) == before


@pytest.mark.parametrize(
    "stale",
    [
        {"was_cost_usd": Decimal("0.5"), "cost_usd": Decimal(1)},
        {"id": "nobody", "cost_usd": Decimal(1)},
        {"ended_at": NOON + timedelta(seconds=1), "cost_usd": Decimal(1)},
    ],
    ids=["another value", "another id", "another time"],
)
def test_a_row_that_is_not_as_it_was_read_stops_all_of_them(store, stale):
    rows = [record(1), record(2)]
    put(store, rows)
    names = {name: None for name in stale if name.startswith("was_")}
    fine = {"id": "id-2", "ended_at": NOON, "cost_usd": Decimal(9)} | names
    if "was_cost_usd" in fine:
        fine["was_cost_usd"] = rows[1].cost_usd
    with pytest.raises(ConflictError):
        store.transact(correcting([fine, {"id": "id-1", "ended_at": NOON} | stale]))
    assert store.sql("SELECT max(cost_usd) FROM requests").item() == rows[1].cost_usd
    assert sums_agree(store)


@pytest.mark.parametrize("change", [{"duration_ms": 1.0}, {"model": "opus-5"}], ids=str)
def test_what_the_latency_rollups_count_by_is_left_alone(change):
    with pytest.raises(ValueError, match="latency"):
        correcting([{"id": "a", "ended_at": NOON} | change])
