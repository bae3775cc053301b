"""What is used of providers' limits at an instant, from readings that are really stored."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import sliding
from data.client import FlightStore
from data.errors import QueryRejected
from data.instants import instants
from data.periods import Grain
from data.queries.ledger import values
from data.queries.limits import LimitRow, keeping
from data.query import answer, answers, fill
from data.question import Question
from data.sliding import Held

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def reading(at: datetime, used: float, *, reset: timedelta | None = HOUR, **more: object) -> LimitRow:
    """A row; `reset` is how long after `at`."""
    return LimitRow(
        **{"proxy": "p1", "provider": "anthropic", "credential": "main", "limit": "tokens", **more},
        minute=at.replace(second=0, microsecond=0),
        at=at,
        used_percent=used,
        remaining=100 - used,
        most=100.0,
        reset_at=None if reset is None else at + reset,
    )


def keep(store: FlightStore, *rows: LimitRow) -> None:
    store.transact([keeping(rows)])


def asked(at: datetime, window: timedelta = MINUTE, by=(), **where: str) -> Question:
    wanted = {name: (value,) for name, value in where.items()}
    return Question(("provider_limit_used",), at - window, at, by=by, where=wanted)


def used(store: FlightStore, at: datetime, window: timedelta = MINUTE, **where: str) -> float | None:
    return answer(store, asked(at, window, **where)).item()


def test_a_reading_counts_from_when_it_was_made_until_its_reset(store):
    keep(store, reading(NOON, 70, reset=10 * MINUTE))
    instants_of = [NOON, NOON + SECOND, NOON + 10 * MINUTE, NOON + 11 * MINUTE, NOON + 11 * MINUTE + SECOND]
    assert [used(store, at) for at in instants_of] == [None, 70, 70, None, None]


def test_credentials_and_limits_are_listed_while_a_reading_of_them_may_count(store):
    keep(store, reading(NOON, 70, credential="b"), reading(NOON, 70, limit="requests"), reading(NOON, 1, credential=""))
    assert values(store, "credential", NOON, NOON + SECOND) == ["b", "main"]
    assert values(store, "limit", NOON + 7 * DAY, NOON + 8 * DAY) == ["requests", "tokens"]
    assert values(store, "limit", NOON - DAY, NOON) == []
    assert values(store, "limit", NOON + 9 * DAY, NOON + 10 * DAY) == []


def test_the_next_reading_ends_the_one_before_and_a_window_has_its_most(store):
    keep(store, reading(NOON, 90), reading(NOON + 5 * MINUTE, 20), reading(NOON + 9 * MINUTE, 30))
    assert used(store, NOON + 8 * MINUTE, MINUTE) == 20
    assert used(store, NOON + 10 * MINUTE, 2 * MINUTE) == 30
    assert used(store, NOON + 10 * MINUTE, 6 * MINUTE) == 90


def test_a_reading_whose_reset_nobody_tells_counts_for_an_hour(store):
    keep(store, reading(NOON, 70, reset=None))
    assert (used(store, NOON + HOUR), used(store, NOON + HOUR + 2 * MINUTE)) == (70, None)


def test_a_reset_that_has_passed_by_another_clock_still_leaves_the_reading(store):
    keep(store, reading(NOON, 100, reset=-MINUTE))
    assert (used(store, NOON + SECOND), used(store, NOON + 2 * MINUTE)) == (100, None)


def test_the_fullest_of_several_counts_unless_one_is_asked_for(store):
    keep(
        store,
        reading(NOON, 10),
        reading(NOON, 60, limit="5h"),
        reading(NOON, 80, credential="other"),
        reading(NOON, 30, provider="openai", credential=""),
    )
    at = NOON + SECOND
    assert (used(store, at), used(store, at, credential="main")) == (80, 60)
    assert used(store, at, provider="anthropic", limit="tokens", credential="main") == 10
    assert answer(store, asked(at, by=("provider",))).rows() == [("anthropic", 80), ("openai", 30)]
    assert answer(store, asked(at, by=("limit",), provider="anthropic")).rows() == [("5h", 60), ("tokens", 80)]
    assert used(store, at, provider="gemini") is None
    assert answer(store, asked(at, by=("provider",), provider="gemini")).rows() == []


def test_what_several_proxies_read_is_one_course(store):
    keep(store, reading(NOON, 50), reading(NOON, 55, proxy="p2"), reading(NOON + MINUTE, 10, proxy="p2"))
    assert used(store, NOON + SECOND) == 55
    assert used(store, NOON + 3 * MINUTE) == 10


def test_a_minute_keeps_its_fullest_reading_however_often_it_is_written(store):
    lower, higher = reading(NOON, 50), reading(NOON + SECOND, 70)
    for rows in ([lower], [higher], [higher, lower], [lower]):
        keep(store, *rows)
    assert store.sql('SELECT "at", used_percent FROM provider_limits').rows() == [(NOON + SECOND, 70)]


def test_a_week_long_limit_is_still_known_at_its_end(store):
    keep(store, reading(NOON, 42, reset=7 * DAY, limit="7d"))
    assert (used(store, NOON + 7 * DAY), used(store, NOON + 7 * DAY + 2 * MINUTE)) == (42, None)


@pytest.mark.parametrize("by", [(), ("provider",), ("limit", "credential")])
@pytest.mark.parametrize(("start", "step"), [(NOON - 5 * MINUTE, 3 * MINUTE), (NOON + 7 * SECOND, 77 * SECOND)])
def test_every_instant_of_a_series_is_the_answer_then(store, by, start, step):
    keep(
        store,
        *(
            reading(
                NOON + n * 97 * SECOND,
                n * 37 % 101,
                reset=(n % 7) * 4 * MINUTE,
                limit=("tokens", "5h")[n % 2],
                provider=("openai", "anthropic")[n % 3 == 0],
            )
            for n in range(40)
        ),
    )
    end, window = start + 25 * step, 4 * MINUTE
    frame = instants(store, metric="provider_limit_used", window=window, start=start, end=end, step=step, by=by)
    assert frame["value"].drop_nulls().n_unique() > 5
    for n in range(25):
        at = start + n * step
        rows = frame.filter(pl.col("time") == at).drop("time").rows()
        assert rows == answer(store, asked(at, window, by=by)).rows(), at


def test_a_chart_has_the_most_of_each_bucket_and_gaps_where_nothing_is_known(store):
    keep(store, reading(NOON - DAY, 5, reset=MINUTE), reading(NOON + SECOND, 70, reset=2 * MINUTE))
    question = Question(("provider_limit_used",), NOON, NOON + 4 * MINUTE, by=("provider",), grain=Grain.MINUTE)
    values = fill(answer(store, question), question)["provider_limit_used"].to_list()
    assert values == [70, 70, 70, None]


def test_questions_of_limits_and_of_others_are_answered_together(store):
    keep(store, reading(NOON, 70))
    requests = Question(("requests",), NOON, NOON + MINUTE)
    budget = Question(("budget_used",), NOON, NOON + MINUTE)
    found = answers(store, [requests, asked(NOON + MINUTE), budget, asked(NOON)])
    assert [frame.item() for frame in found] == [0, 70, None, None]


@pytest.mark.parametrize(
    "question",
    [
        Question(("cost",), NOON, NOON + DAY, by=("limit",)),
        Question(("cost",), NOON, NOON + DAY, where={"credential": ("main",)}),
        Question(("provider_limit_used",), NOON, NOON + DAY, by=("model",)),
        Question(("provider_limit_used", "cost"), NOON, NOON + DAY),
        Question(("provider_limit_used", "budget_used"), NOON, NOON + DAY),
        Question(("provider_limit_used",), NOON, NOON + DAY, by=("limit",), limit=3),
    ],
    ids=["cost by limit", "cost of a credential", "by model", "beside cost", "beside a budget", "ranked"],
)
def test_what_makes_no_sense_is_refused(store, question):
    with pytest.raises(QueryRejected, match="limit"):
        answer(store, question)


@given(st.lists(st.integers(0, 99), max_size=40), st.data())
def test_the_largest_in_each_window_is_found(values, data):
    edges = st.integers(0, len(values))
    windows = data.draw(st.lists(st.tuples(edges, edges).map(sorted), max_size=20))
    first, last = (np.array([w[n] for w in windows], dtype=np.int64) for n in (0, 1))
    found = sliding.maxima(np.array(values, dtype=np.float64), Held(first, last))
    expected = [max(values[a:b], default=np.nan) for a, b in windows]
    np.testing.assert_array_equal(found, np.array(expected, dtype=np.float64))
