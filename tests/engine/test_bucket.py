from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from engine.bucket import Bucket, Limit
from tests.engine.traffic import NOON, SECOND

LIMIT = Limit(per_minute=6, burst=3)


def drained(bucket, at):
    taken = 0
    bucket = bucket.filled(at)
    while (after := bucket.taken()) is not None:
        bucket, taken = after, taken + 1
    return bucket, taken


def test_it_gives_its_burst_and_then_as_many_as_come_back():
    bucket, taken = drained(Bucket.full(LIMIT, NOON), NOON)
    assert taken == 3
    assert bucket.filled(NOON + 9 * SECOND).taken() is None
    assert drained(bucket, NOON + 10 * SECOND)[1] == 1
    assert drained(bucket, NOON + timedelta(hours=1))[1] == 3


def test_a_clock_set_back_gives_nothing_and_takes_nothing():
    bucket, _ = drained(Bucket.full(LIMIT, NOON), NOON)
    assert bucket.filled(NOON - timedelta(hours=1)).level == 0


@given(gaps=st.lists(st.integers(0, 40), max_size=40))
def test_never_more_than_the_burst_and_what_came_back(gaps):
    bucket, now, given_out = Bucket.full(LIMIT, NOON), NOON, 0
    for gap in gaps:
        now += gap * SECOND
        bucket, taken = drained(bucket, now)
        given_out += taken
    assert given_out <= LIMIT.burst + sum(gaps) * LIMIT.per_minute / 60
