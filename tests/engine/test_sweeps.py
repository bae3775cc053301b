from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bucket import Bucket, Limit
from engine.sweeps import Waiting, Waits, aligned, next_sweep
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


WAITING = st.builds(
    Waiting,
    st.sampled_from(["mail", "hook"]),
    st.sampled_from(["a", "b"]),
    st.booleans(),
    st.integers(0, 60).map(at),
    st.one_of(st.none(), st.integers(0, 60).map(at)),
)


@given(st.lists(st.one_of(WAITING, st.integers(0, 9)), max_size=30))
def test_what_comes_and_goes_is_found_as_if_all_were_looked_through(changes):
    waits, left = Waits(), {}
    buckets = {"mail": Bucket(SLOW, 0.9, START)}
    for number, change in enumerate(changes):
        if isinstance(change, Waiting):
            left[str(number)] = change
            waits.add(str(number), change)
        elif left:
            gone = list(left)[change % len(left)]
            del left[gone]
            waits.drop(gone)
        assert waits.next_sweep(buckets, START) == next_sweep(left.values(), buckets, START)


def test_only_what_can_be_told_is_looked_at_with_what_waited_for_it():
    waits = Waits()
    for name, one in {"due": waiting(5), "late": waiting(9), "open": waiting(0, limited=False)}.items():
        waits.add(name, one)
    assert waits.tellable(at(8)) == set()
    assert waits.tellable(at(9)) == {"due", "late"}
