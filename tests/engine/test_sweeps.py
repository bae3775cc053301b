from datetime import UTC, datetime, timedelta

import pytest

from engine.bucket import Bucket, Limit
from engine.sweeps import Waiting, aligned, next_sweep
from engine.terms import ALL

START = datetime(2026, 3, 1, tzinfo=UTC)
SLOW = Limit(per_minute=0.5, burst=1)


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


def waiting(due: int, *, limited: bool = True, over: int | None = None) -> Waiting:
    return Waiting("mail", "{}", limited, at(due), None if over is None else at(over))


@pytest.mark.parametrize(
    ("held", "buckets", "expected"),
    [
        pytest.param([], {}, None, id="nothing"),
        pytest.param([waiting(7)], {}, 10, id="at the next look"),
        pytest.param([waiting(0)], {"mail": Bucket(SLOW, 0.0, START)}, 120, id="when the channel takes one"),
        pytest.param([waiting(0)], {ALL: Bucket(SLOW, 0.5, START)}, 60, id="when all channels together do"),
        pytest.param([waiting(0), waiting(31)], {}, 35, id="those of a group wait for one another"),
        pytest.param([waiting(0, limited=False), waiting(10)], {}, 10, id="not for what a limit holds"),
        pytest.param([waiting(20, limited=False, over=44)], {}, 45, id="when it is over"),
        pytest.param([waiting(90, limited=False, over=44)], {}, 90, id="and due"),
    ],
)
def test_what_is_held_back_is_looked_at_when_it_can_be_told(held, buckets, expected):
    assert next_sweep(held, buckets, START) == (None if expected is None else at(expected))


def test_a_look_is_never_before_the_last():
    assert next_sweep([waiting(0)], {}, at(61)) == at(65) == aligned(at(61))
