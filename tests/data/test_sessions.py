"""Sessions and their agents."""

from datetime import timedelta
from decimal import Decimal

import pytest

from data.errors import UnknownMetric
from data.queries.sessions import Order, agents, sessions
from data.records import record_table
from tests.data.ledger import NOON, record

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
PRICED = {"cost_usd": Decimal("0.25"), "cost_status": "exact"}
UNPRICED = {"cost_usd": None, "cost_status": "unpriced"}


@pytest.fixture
def filled(store):
    """Three sessions: a with an agent, b dear, c unpriced; and a request without a session."""
    rows = [
        record(1, at=NOON, session="a", agent="", project="old", model="opus", **PRICED),
        record(2, at=NOON + 5 * SECOND, session="a", agent="scout", project="new", model="haiku", **PRICED),
        record(3, at=NOON + 6 * SECOND, session="a", agent="scout", project="", model="haiku", **PRICED),
        record(4, at=NOON + 3 * SECOND, session="b", model="opus", team="x", **{**PRICED, "cost_usd": Decimal(7)}),
        record(5, at=NOON + 2 * SECOND, session="c", model="strange", **UNPRICED),
        record(6, at=NOON + 2 * SECOND, session="", model="opus", **PRICED),
        record(7, at=NOON + HOUR, session="late", model="opus", **PRICED),
    ]
    store.put(record_table(rows), spool_id="s", first=1, last=len(rows))
    return store


def names(frame):
    return frame["session"].to_list()


def test_a_session_sums_its_agents(filled):
    (row,) = sessions(filled, NOON, NOON + HOUR, {"session": ("a",)}).to_dicts()
    assert (row["requests"], row["cost"], row["agents"], row["models"]) == (3, Decimal("0.75"), 1, ["haiku", "opus"])
    assert (row["input_tokens"], row["output_tokens"]) == ((1 + 2 + 3) * 3 + 9, 5 * 6)
    assert (row["started_at"], row["ended_at"]) == (NOON - 1.5 * SECOND, NOON + 6 * SECOND)
    assert row["project"] == ""  # the last request's


def test_the_agents_of_a_session_add_up_to_it(filled):
    found = agents(filled, ["a", "b"], NOON, NOON + HOUR).to_dicts()
    assert [(row["session"], row["agent"], row["requests"]) for row in found] == [
        ("a", "scout", 2),
        ("a", "", 1),
        ("b", "", 1),
    ]
    assert sum(row["cost"] for row in found if row["session"] == "a") == Decimal("0.75")


def test_the_newest_and_the_dearest_come_first(filled):
    assert names(sessions(filled, NOON, NOON + HOUR)) == ["a", "b", "c"]
    assert names(sessions(filled, NOON, NOON + HOUR, order=Order.DEAREST)) == ["b", "a", "c"]
    assert names(sessions(filled, NOON, NOON + 2 * HOUR, limit=1)) == ["late"]


def test_what_nobody_has_a_price_for_has_no_cost(filled):
    (row,) = sessions(filled, NOON, NOON + HOUR, {"session": ("c",)}).to_dicts()
    assert (row["cost"], row["spent"], row["unpriced_requests"]) == (None, 0, 1)


@pytest.mark.parametrize("order", list(Order))
def test_pages_show_every_session_once(filled, order):
    seen, cursor = [], None
    while True:
        rows = sessions(filled, NOON, NOON + 2 * HOUR, order=order, limit=1, cursor=cursor).to_dicts()
        if not rows:
            break
        seen.append(rows[0]["session"])
        cursor = (rows[0][order], rows[0]["session"])
    assert sorted(seen) == ["a", "b", "c", "late"]
    assert seen == names(sessions(filled, NOON, NOON + 2 * HOUR, order=order))


def test_sessions_are_filtered_by_any_dimension(filled):
    assert names(sessions(filled, NOON, NOON + HOUR, {"team": ("x",)})) == ["b"]
    assert names(sessions(filled, NOON, NOON + HOUR, {"model": ("haiku",)})) == ["a"]
    assert sessions(filled, NOON, NOON + HOUR, {"model": ("haiku",)})["requests"].to_list() == [2]
    assert names(sessions(filled, NOON, NOON + HOUR, {"model": ("x' OR 1=1 --",)})) == []
    with pytest.raises(UnknownMetric):
        sessions(filled, NOON, NOON + HOUR, {"nope": ("x",)})
