"""Which readings of providers' limits are kept, and what waits until they are."""

from datetime import UTC, datetime

import pytest

from data.queries.limits import LimitRow
from proxy import limit_history
from proxy.limit_headers import Limit
from proxy.limit_history import LimitHistory, rows

T0 = 1_772_366_400.0  # a whole minute
NO_TIME_S = datetime(1, 1, 1, tzinfo=UTC).timestamp()


def take(history: LimitHistory, remaining: float, at_s: float, *, limit: float | None = 100, reset: float = T0) -> None:
    history.take("openai", "main", Limit("tokens", limit, remaining, reset), at_s)


def used(history: LimitHistory) -> list[tuple[float, float]]:
    """When, counted from T0, and how much of each that waits."""
    return [(reading.at_s - T0, reading.used_percent) for reading in history.waiting(1000).values()]


def test_a_minute_has_its_fullest_reading():
    history = LimitHistory()
    for second, remaining in enumerate((60, 20, 90)):
        take(history, remaining, T0 + second)
    take(history, 80, T0 + 61)
    assert used(history) == [(1, 80), (61, pytest.approx(20))]


def test_what_does_not_change_is_noted_once_in_ten_minutes():
    history = LimitHistory()
    for minute in range(21):
        take(history, 50, T0 + 60 * minute)
    assert [at for at, _ in used(history)] == [0, 600, 1200]
    take(history, 50, T0 + 1260, reset=T0 + 1)
    assert len(used(history)) == 4


def test_a_limit_of_which_nobody_says_how_much_there_is_has_no_share():
    history = LimitHistory()
    take(history, 50, T0, limit=None)
    take(history, 0, T0, limit=0)
    assert used(history) == []


def test_what_came_while_a_minute_was_written_still_waits():
    history = LimitHistory()
    take(history, 50, T0)
    written = history.waiting(10)
    take(history, 30, T0 + 1)
    history.kept(written)
    assert used(history) == [(1, 70)]
    history.kept(history.waiting(10))
    assert used(history) == []


def test_of_too_much_that_waits_the_oldest_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limit_history, "MOST_WAITING", 3)
    history = LimitHistory()
    for minute in range(5):
        take(history, minute, T0 + 60 * minute)
    assert [at for at, _ in used(history)] == [120, 180, 240]


def test_a_reading_is_a_row_whatever_its_reset():
    history = LimitHistory()
    for number, reset in enumerate((T0, 1e15, None, NO_TIME_S - 3600)):
        history.take("a", "", Limit(str(number), 1.0, 0.25, reset, 3600.0), T0 + 1.5)
    made = rows("spool", history.waiting(10))
    assert [row.reset_at for row in made] == [datetime.fromtimestamp(T0, UTC), None, None, None]
    assert made[1] == LimitRow(
        proxy="spool",
        provider="a",
        credential="",
        limit="1",
        minute=datetime.fromtimestamp(T0, UTC),
        at=datetime.fromtimestamp(T0 + 1.5, UTC),
        used_percent=75,
        remaining=0.25,
        most=1.0,
    )
