from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.periods import Grain, bucket_end, bucket_start, bucket_starts, offsets

HOUR = timedelta(hours=1)
ZONES = ("UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Africa/Cairo", "Australia/Lord_Howe")
MOMENTS = st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("grain", "at", "tz", "start", "end"),
    [
        (Grain.QUARTER, utc(2026, 1, 1, 10, 29, 59), "UTC", utc(2026, 1, 1, 10, 15), utc(2026, 1, 1, 10, 30)),
        (Grain.HOUR, utc(2026, 1, 1, 10, 20), "Asia/Kolkata", utc(2026, 1, 1, 9, 30), utc(2026, 1, 1, 10, 30)),
        (Grain.DAY, utc(2026, 3, 29, 12), "Europe/Berlin", utc(2026, 3, 28, 23), utc(2026, 3, 29, 22)),
        (Grain.DAY, utc(2026, 10, 25, 12), "Europe/Berlin", utc(2026, 10, 24, 22), utc(2026, 10, 25, 23)),
        (Grain.WEEK, utc(2026, 3, 29, 21, 59), "Europe/Berlin", utc(2026, 3, 22, 23), utc(2026, 3, 29, 22)),
        (Grain.WEEK, utc(2026, 1, 1), "UTC", utc(2025, 12, 29), utc(2026, 1, 5)),
        (Grain.MONTH, utc(2026, 2, 28, 23, 30), "Europe/Berlin", utc(2026, 2, 28, 23), utc(2026, 3, 31, 22)),
        # midnight did not exist on that day: the clocks went from 24:00 to 01:00
        (Grain.DAY, utc(2017, 10, 15, 12), "America/Sao_Paulo", utc(2017, 10, 15, 3), utc(2017, 10, 16, 2)),
    ],
    ids=str,
)
def test_buckets_begin_and_end_on_the_local_clock(grain, at, tz, start, end):
    assert (bucket_start(at, grain, tz), bucket_end(start, grain, tz)) == (start, end)


@settings(max_examples=300, deadline=None)
@given(at=MOMENTS, grain=st.sampled_from(list(Grain)), tz=st.sampled_from(ZONES))
def test_a_moment_lies_in_its_bucket(at, grain, tz):
    start = bucket_start(at, grain, tz)
    assert start <= at < bucket_end(start, grain, tz)


@pytest.mark.parametrize("tz", ZONES)
@pytest.mark.parametrize("grain", [Grain.DAY, Grain.WEEK, Grain.MONTH])
def test_days_weeks_and_months_leave_no_gap(grain, tz):
    start, end = utc(2017, 1, 5, 7), utc(2018, 6, 1)
    starts = list(bucket_starts(start, end, grain, tz))
    assert starts[0] <= start
    assert bucket_end(starts[-1], grain, tz) >= end
    assert all(bucket_end(first, grain, tz) == second for first, second in pairwise(starts))


@settings(max_examples=100, deadline=None)
@given(start=MOMENTS, days=st.integers(1, 400), tz=st.sampled_from(ZONES), share=st.floats(0, 1, exclude_max=True))
def test_offsets_are_those_of_the_zone(start, days, tz, share):
    end = start + timedelta(days=days)
    at = start + (end - start) * share
    found = [offset.ahead for offset in offsets(tz, start, end) if offset.since <= at][-1]
    assert found == at.astimezone(ZoneInfo(tz)).utcoffset()
