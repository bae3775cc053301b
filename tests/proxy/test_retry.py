"""How long to wait before the next attempt."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.failure import Failure, FailureClass
from proxy.retry import asked_wait, seconds_of, wait_before

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LONGEST = 20


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 7.5 "}, 7.5),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "30"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "30"}, 30),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, 90),
        ({"retry-after": "Tue, 24 Nov 2026 12:01:30 -0000"}, 90),
        ({"retry-after": format_datetime(NOW - timedelta(hours=1), usegmt=True)}, 0),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": "1_000"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "Tue, 24 Nov 99999999999 12:00:00 GMT"}, None),
        ({"retry-after": ""}, None),
    ],
    ids=[
        "nothing",
        "seconds",
        "with a fraction",
        "milliseconds",
        "milliseconds first",
        "bad milliseconds",
        "date",
        "date without a zone",
        "date in the past",
        "negative",
        "zero",
        "nan",
        "infinite",
        "overflow",
        "Python's underscores",
        "other digits",
        "a word",
        "no such year",
        "empty",
    ],
)
def test_what_a_provider_asks_for(headers: dict[str, str], expected: float | None):
    assert asked_wait(headers, NOW.timestamp()) == expected


@given(st.text(), st.text(max_size=40))
def test_whatever_stands_in_the_headers_is_a_wait_or_none(milliseconds: str, after: str):
    wait = asked_wait({"retry-after-ms": milliseconds, "retry-after": after}, NOW.timestamp())
    assert wait is None or 0 <= wait < float("inf")


@given(st.floats(0, 1e12))
def test_any_number_is_read(number: float):
    assert seconds_of(f"{number:.6f}") == pytest.approx(number, abs=1e-6)


def limited(retry_after_s: float | None) -> Failure:
    return Failure(FailureClass.RATE_LIMITED, retry_after_s=retry_after_s)


def test_what_the_provider_asks_for_is_waited_for_exactly():
    assert wait_before(limited(12.5), 3, 0.1, LONGEST) == 12.5
    assert wait_before(limited(0), 3, 0.9, LONGEST) == 0
    assert wait_before(limited(20), 0, 0.9, LONGEST) == 20


def test_a_wait_that_is_too_long_is_not_waited_for():
    assert wait_before(limited(20.001), 0, 0.5, LONGEST) is None


def test_without_a_wish_the_wait_is_random_below_a_limit_that_doubles_up_to_the_longest():
    assert [wait_before(limited(None), n, 1.0, LONGEST) for n in range(8)] == [0.5, 1, 2, 4, 8, 16, 20, 20]
    assert wait_before(limited(None), 2, 0.25, LONGEST) == 0.5


@given(st.integers(-5, 10**9), st.floats(0, 1, exclude_max=True))
def test_a_random_wait_is_never_longer_than_the_longest(repeats: int, chance: float):
    assert 0 <= wait_before(limited(None), repeats, chance, LONGEST) <= LONGEST
