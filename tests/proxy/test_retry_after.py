"""How long a provider wants to be left alone."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.retry_after import may_be_retried, retry_after_s

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
IN_A_MINUTE = format_datetime(datetime(2026, 3, 1, 12, 1, tzinfo=UTC), usegmt=True)
DETAILS = b'{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"17.5s"}]}}'


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({}, b"", None),
        ({"retry-after": "3"}, b"", 3.0),
        ({"retry-after": "0"}, b"", 0.0),
        ({"retry-after-ms": "250", "retry-after": "3"}, b"", 0.25),
        ({"retry-after-ms": "soon", "retry-after": "3"}, b"", 3.0),
        ({"retry-after": IN_A_MINUTE}, b"", 60.0),
        ({"retry-after": "Sun, 01 Mar 2020 12:00:00 GMT"}, b"", 0.0),
        ({"retry-after": "-5"}, b"", None),
        ({"retry-after": "nan"}, b"", None),
        ({"retry-after": "inf"}, b"", None),
        ({"retry-after": "1e300"}, b"", 366 * 86_400.0),
        ({}, DETAILS, 17.5),
        ({"retry-after": "2"}, DETAILS, 2.0),
    ],
)
def test_the_pause_that_is_asked_for(headers: dict[str, str], body: bytes, seconds: float | None):
    assert retry_after_s(headers, NOW.timestamp(), body) == seconds


@given(st.text(), st.text(), st.binary())
def test_whatever_is_said_is_a_pause_or_nothing(milliseconds: str, said: str, body: bytes):
    seconds = retry_after_s({"retry-after-ms": milliseconds, "retry-after": said}, NOW.timestamp(), body)
    assert seconds is None or 0 <= seconds < float("inf")


def test_a_provider_may_say_that_asking_again_is_useless():
    assert not may_be_retried({"x-should-retry": "false"})
    assert may_be_retried({"x-should-retry": "true"})
    assert may_be_retried({})
