"""The made-up history is a history: exact in number, in order, priced like any other, with its story in it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import polars as pl
import pyarrow as pa
import pytest

from data.demo import generate, load, story
from data.demo_team import MEMBERS, OPUS_AFTER, OPUS_BEFORE, UNLISTED
from data.model import Tokens
from data.pricing import price
from data.records import SCHEMA

NOW = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)
NUMBER = 30_000


def history(requests: int = NUMBER, *, days: int = 90, seed: int = 1, now: datetime = NOW) -> pa.Table:
    return pa.concat_tables(generate(days=days, requests=requests, seed=seed, now=now))


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    frame = pl.from_arrow(history())
    assert isinstance(frame, pl.DataFrame)
    return frame


@pytest.mark.parametrize(("requests", "days"), [(1, 1), (7, 2), (500, 1), (2_000, 30)])
def test_a_history_has_exactly_its_number_of_rows_in_the_order_of_time(requests, days):
    found = pl.from_arrow(history(requests, days=days))
    assert found.height == requests
    assert found["ended_at"].is_sorted()
    assert found["ended_at"].min() >= (NOW - timedelta(days=days)).replace(tzinfo=None)
    assert found["ended_at"].max() < NOW.replace(tzinfo=None)


@pytest.mark.parametrize(
    "now", [datetime(2026, 3, 1, 0, 0, tzinfo=UTC), datetime(2026, 8, 1, 23, 59, 59, 1, tzinfo=UTC)]
)
def test_a_history_may_end_at_any_moment(now):
    assert history(300, days=1, now=now).num_rows == 300


def test_the_rows_have_the_ledgers_schema_and_no_null_where_none_may_be(rows):
    table = history(1_000)
    assert table.schema == SCHEMA
    assert all(
        column.null_count == 0 for field, column in zip(SCHEMA, table.columns, strict=True) if not field.nullable
    )
    assert set(rows["source"]) == {"demo"}


def test_the_same_seed_gives_the_same_history_and_another_a_different_one():
    assert history(2_000).equals(history(2_000))
    assert not history(2_000).equals(history(2_000, seed=2))


def test_costs_are_those_of_the_price_list(rows):
    for row in rows.sample(300, seed=1).iter_rows(named=True):
        tokens = Tokens(
            *(row[f"{name}_tokens"] for name in ("uncached_input", "cache_read", "cache_write_5m", "cache_write_1h")),
            output=row["output_tokens"],
            reasoning=row["reasoning_tokens"],
        )
        at = row["ended_at"].replace(tzinfo=UTC)
        wanted = price(provider=row["provider"], protocol=row["protocol"], model=row["model"], tokens=tokens, at=at)
        assert row["cost_usd"] == wanted.cost_usd
        assert row["price_source"] == wanted.source


def test_an_unlisted_model_is_unpriced_and_never_free(rows):
    unlisted = rows.filter(pl.col.model == UNLISTED)
    assert 0 < unlisted.height < NUMBER / 100
    assert unlisted["cost_usd"].null_count() == unlisted.height
    assert set(unlisted["cost_status"]) == {"unpriced"}
    assert rows.filter(pl.col.model != UNLISTED)["cost_usd"].null_count() == 0


def test_counts_are_disjoint_and_failed_calls_took_nothing(rows):
    assert (rows["reasoning_tokens"] <= rows["output_tokens"]).all()
    failed = rows.filter(pl.col.status != 200)
    assert failed["output_tokens"].sum() == 0
    assert failed["cost_usd"].fill_null(Decimal(0)).sum() == 0
    assert set(
        rows.filter(pl.col.outcome.is_in(["partial", "disconnected"]) & (pl.col.output_tokens > 0))["cost_status"]
    ) <= {
        "estimated",
        "unpriced",
    }


def test_time_to_first_token_is_known_of_streams_only_and_before_the_end(rows):
    timed = rows.filter(pl.col.ttft_ms.is_not_null())
    assert timed["stream"].all()
    assert (timed["ttft_ms"] <= timed["duration_ms"]).all()
    assert not timed["ttft_ms"].is_nan().any()
    lasted = (rows["ended_at"] - rows["started_at"]).dt.total_microseconds() / 1000
    assert (lasted - rows["duration_ms"]).abs().max() < 0.01


def test_only_streams_break_off(rows):
    assert rows.filter(pl.col.outcome.is_in(["partial", "disconnected"]))["stream"].all()


def test_ids_are_uuid7_of_their_time_and_unique(rows):
    assert rows["id"].n_unique() == NUMBER
    for row in rows.head(50).iter_rows(named=True):
        identifier = UUID(row["id"])
        assert identifier.version == 7
        assert identifier.int >> 80 == int(row["started_at"].replace(tzinfo=UTC).timestamp() * 1000)


def test_a_second_attempt_belongs_to_the_call_that_failed_before_it(rows):
    seconds = rows.filter(pl.col.attempt == 2)
    assert seconds.height > 0
    firsts = rows.filter((pl.col.attempt == 1) & pl.col.request_id.is_in(seconds["request_id"].implode()))
    assert firsts.height == seconds.height
    assert set(firsts["outcome"]) == {"error"}
    pairs = firsts.join(seconds, on="request_id")
    assert (pairs["key"] == pairs["key_right"]).all()
    assert (pairs["ended_at"] <= pairs["ended_at_right"]).all()


def test_sessions_belong_to_one_key_and_one_project(rows):
    sessions = rows.filter(pl.col.session != "").group_by("session").agg(pl.col("key", "project").n_unique(), pl.len())
    assert sessions["key"].max() == sessions["project"].max() == 1
    assert sessions["len"].max() > 20


def test_the_team_is_as_large_as_promised(rows):
    assert rows["project"].n_unique() == 6
    assert rows["team"].n_unique() == 4
    assert rows["user"].n_unique() == len(MEMBERS) == rows["key"].n_unique()


def test_days_are_busier_than_nights_and_weeks_than_weekends(rows):
    hours = dict(rows.group_by(pl.col.ended_at.dt.hour()).len().iter_rows())
    weekdays = dict(rows.group_by(pl.col.ended_at.dt.weekday()).len().iter_rows())
    assert hours[9] > 5 * hours[4]
    assert weekdays[2] > 3 * weekdays[7]


def test_most_input_comes_from_the_cache(rows):
    names = ("uncached_input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
    total = sum(rows[name].sum() for name in names)
    assert rows["cache_read_tokens"].sum() / total > 0.6
    assert all(rows[name].sum() > 0 for name in names)


def test_the_spike_costs_several_usual_days(rows):
    daily = rows.group_by(pl.col.ended_at.dt.date()).agg(pl.col.cost_usd.cast(pl.Float64).sum()).sort("cost_usd")
    assert daily["ended_at"][-1] == story(now=NOW, days=90).spike
    assert daily["cost_usd"][-1] > 2.5 * daily["cost_usd"][-2]


def test_the_burst_is_an_hour_of_overload(rows):
    burst = story(now=NOW, days=90).burst.replace(tzinfo=None)
    inside = rows.filter((pl.col.ended_at >= burst) & (pl.col.ended_at < burst + timedelta(hours=1)))
    before = rows.filter((pl.col.ended_at >= burst - timedelta(hours=3)) & (pl.col.ended_at < burst))
    assert (inside["status"] == 529).mean() > 0.25
    assert (before["status"] == 529).mean() < 0.05


def test_the_team_moves_to_the_new_model(rows):
    shares = (
        rows.filter(pl.col.model.is_in([OPUS_BEFORE, OPUS_AFTER]))
        .group_by((pl.col.ended_at > NOW.replace(tzinfo=None) - timedelta(days=40)).alias("late"))
        .agg((pl.col.model == OPUS_AFTER).mean().alias("share"))
        .sort("late")["share"]
    )
    assert shares[0] < 0.3
    assert shares[1] > 0.8


def test_the_new_model_gets_slower_towards_the_end(rows):
    served = rows.filter((pl.col.model == OPUS_AFTER) & pl.col.ttft_ms.is_not_null())
    end = NOW.replace(tzinfo=None)
    last = served.filter(pl.col.ended_at > end - timedelta(days=5))["ttft_ms"].median()
    before = served.filter(pl.col.ended_at < end - timedelta(days=25))["ttft_ms"].median()
    assert last > 1.25 * before


def test_loading_twice_adds_nothing_and_an_interrupted_load_goes_on(store):
    whole = history(900, days=5)
    store.put(whole.slice(0, 350), spool_id="demo-1", first=1, last=350)
    assert load(store, days=5, requests=900, now=NOW) == 550
    assert load(store, days=5, requests=900, now=NOW + timedelta(days=1)) == 0
    stored = store.sql("SELECT count(*) AS n, count(DISTINCT id) AS ids, sum(cost_usd) AS cost FROM requests")
    assert stored.row(0)[:2] == (900, 900)
    assert stored["cost"].item() == pl.from_arrow(whole)["cost_usd"].sum()


def test_two_seeds_are_two_histories(store):
    assert load(store, days=2, requests=50, seed=1, now=NOW) == load(store, days=2, requests=50, seed=2, now=NOW) == 50
    assert store.sql("SELECT count(*) AS n FROM requests")["n"].item() == 100
