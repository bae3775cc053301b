from datetime import timedelta

import pytest

from engine.clock_watch import ClockWatch
from tests.engine.traffic import MINUTE, NOON, SECOND

NOT = timedelta(0)


@pytest.mark.parametrize(
    ("shown", "back"),
    [
        pytest.param([NOON, NOON + SECOND], [NOT, NOT], id="it goes on"),
        pytest.param([NOON, NOON], [NOT, NOT], id="it stands still"),
        pytest.param([NOON + MINUTE], [NOT], id="set ahead"),
        pytest.param([NOON - MINUTE, NOON - MINUTE], [MINUTE, NOT], id="set back is told once"),
        pytest.param([NOON - MINUTE, NOON - 3 * MINUTE], [MINUTE, 2 * MINUTE], id="set back twice"),
        pytest.param([NOON + MINUTE, NOON], [NOT, MINUTE], id="ahead, and back"),
        pytest.param([NOON - SECOND / 2], [NOT], id="a moment is nothing"),
    ],
)
def test_a_clock_is_set_back_where_it_shows_less_than_at_the_last_look(monkeypatch, shown, back):
    monkeypatch.setattr("engine.clock_watch.time.monotonic", lambda: 7.0)
    times = iter([NOON, *shown])
    watch = ClockWatch(lambda: next(times))
    assert [watch.set_back_by() for _ in shown] == back


def test_what_has_passed_between_two_looks_counts(monkeypatch):
    passed, times = iter([7.0, 47.0]), iter([NOON, NOON - MINUTE])
    monkeypatch.setattr("engine.clock_watch.time.monotonic", lambda: next(passed))
    assert ClockWatch(lambda: next(times)).set_back_by() == MINUTE + 40 * SECOND
