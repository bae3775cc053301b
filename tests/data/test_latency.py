import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.latency import LONGEST_MS, SHORTEST_MS, bucket_of, bucket_sql, middle_ms


@given(st.floats(min_value=SHORTEST_MS, max_value=LONGEST_MS))
def test_a_buckets_middle_is_within_five_percent_of_what_it_counts(ms):
    assert middle_ms(bucket_of(ms)) == pytest.approx(ms, rel=0.05)


@pytest.mark.parametrize(
    ("ms", "edge"),
    [(0.0, SHORTEST_MS), (-1.0, SHORTEST_MS), (1e12, LONGEST_MS)],
    ids=["nothing", "a clock that went back", "more than an hour"],
)
def test_what_lies_outside_counts_at_the_edge(ms, edge):
    assert bucket_of(ms) == bucket_of(edge)


def test_the_store_and_python_agree_on_every_bucket():
    values = [0.0, 0.05, 0.1, 1.0, 1.1, 1.21, 3_600_000.0, 1e9, *(1.1**b * 1.0001 for b in range(-24, 158))]
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT v, {bucket_sql('v')} FROM (SELECT unnest(?::DOUBLE[]) AS v)", [values])
        assert rows.fetchall() == [(value, bucket_of(value)) for value in values]


def test_no_latency_has_no_bucket():
    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT {bucket_sql('NULL::DOUBLE')}").fetchone() == (None,)
