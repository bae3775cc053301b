from datetime import timedelta
from decimal import Decimal

import pytest

from data.errors import UnknownMetric
from data.queries import ledger
from tests.data.oracle import FAILED, FIRST, LAST, ended
from tests.data.oracle import ledger as records

ROWS = sorted(records(), key=lambda row: (row.ended_at, row.id), reverse=True)


def test_the_latest_come_first(loaded):
    frame = ledger.recent(loaded, 5)
    assert frame["id"].to_list() == [row.id for row in ROWS[:5]]
    assert tuple(frame.columns) == ledger.LISTED
    assert "usage" not in frame.columns


def test_pages_follow_each_other_without_gap_or_repeat(loaded):
    seen, before = [], None
    while True:
        page = ledger.recent(loaded, 130, before)
        seen += page["id"].to_list()
        if page.height < 130:
            break
        before = page.select("ended_at", "id").row(-1)
    assert seen == [row.id for row in ROWS]


def test_recent_can_be_filtered(loaded):
    frame = ledger.recent(loaded, 10_000, where={"status": ("429",), "tag:branch": ("b0",)}, start=FIRST)
    assert frame["id"].to_list() == [r.id for r in ROWS if r.status == 429 and r.tags.get("branch") == "b0"]
    assert ledger.recent(loaded, 10, start=LAST).is_empty()


def test_one_request_has_all_columns(loaded):
    row = ledger.request(loaded, "id-7")
    (wanted,) = [r for r in ROWS if r.id == "id-7"]
    assert (row["id"], row["ended_at"], row["usage"]) == ("id-7", ended(wanted), "")
    assert ledger.request(loaded, "nothing") is None


def test_attempts_of_one_call(loaded):
    assert ledger.attempts(loaded, "request-8")["id"].to_list() == ["id-8"]


def test_sessions_are_summed(loaded):
    start, end = FIRST, FIRST + timedelta(days=4)
    frame = ledger.sessions(loaded, start, end, limit=3)
    inside = [row for row in ROWS if start <= ended(row) < end and row.session]
    assert frame["session"].to_list() == list(dict.fromkeys(row.session for row in inside))[:3]
    for session in frame.iter_rows(named=True):
        own = [row for row in inside if row.session == session["session"]]
        assert session["requests"] == len(own)
        assert session["errors"] == sum(row.outcome in FAILED for row in own)
        assert session["cost"] == sum((row.cost_usd or Decimal(0) for row in own), Decimal(0))
        assert session["ended_at"] == max(map(ended, own))
        assert session["models"] == sorted({row.model for row in own})
        assert session["input_tokens"] == sum(
            r.uncached_input_tokens + r.cache_read_tokens + r.cache_write_5m_tokens + r.cache_write_1h_tokens
            for r in own
        )


def test_values_come_by_frequency(loaded):
    found = ledger.values(loaded, "session", FIRST, LAST)
    assert set(found) == {row.session for row in ROWS if row.session}
    counts = [sum(row.session == name for row in ROWS) for name in found]
    assert counts == sorted(counts, reverse=True)
    assert set(ledger.values(loaded, "tag:branch", FIRST, LAST)) == {"b0"}
    with pytest.raises(UnknownMetric):
        ledger.values(loaded, "modle", FIRST, LAST)


def test_extent_is_the_first_and_last_end(loaded):
    assert ledger.extent(loaded) == (ended(ROWS[-1]), ended(ROWS[0]))


def test_an_empty_ledger_has_no_extent(store):
    assert ledger.extent(store) == (None, None)
    assert ledger.recent(store, 5).is_empty()
