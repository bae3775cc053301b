from datetime import UTC, datetime, timedelta

import pytest

from data.queries.arrivals import arrivals
from data.records import record_table
from data.store import Statement
from tests.proxy.spool_samples import ended


def sent(store, spool_id, first, *ages_s):
    """A batch of requests that ended so many seconds ago."""
    now = datetime.now(UTC)
    times = [int((now - timedelta(seconds=age)).timestamp() * 1_000_000) for age in ages_s]
    rows = record_table([ended(started_at=at - 1000, ended_at=at) for at in times])
    store.put(rows, spool_id=spool_id, first=first, last=first + len(times) - 1)


def test_a_spools_last_batch_says_how_far_behind_it_was(store):
    sent(store, "late", 1, 300, 200)
    sent(store, "late", 3, 100, 90)
    sent(store, "prompt", 1, 600, 0)
    found = arrivals(store)
    assert found["spool_id"].to_list() == ["prompt", "late"]
    assert found["lag_s"].to_list() == pytest.approx([0, 90], abs=30)
    assert all(0 <= age < 60 for age in found["age_s"].to_list())
    assert found["age_s"][0] <= found["age_s"][1]


def test_what_comes_again_is_no_news(store):
    sent(store, "a", 1, 100, 90)
    before = arrivals(store)["lag_s"].to_list()
    sent(store, "a", 1, 0, 0)
    assert arrivals(store)["lag_s"].to_list() == before


def test_a_spool_of_which_it_was_not_noted_has_no_lag(store):
    sent(store, "a", 1, 90)
    store.transact([Statement("UPDATE ingest_offsets SET ended_at = NULL", expect=1)])
    assert arrivals(store)["lag_s"].to_list() == [None]
