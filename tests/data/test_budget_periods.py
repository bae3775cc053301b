from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.budget_periods import NEVER, Period, Rolling, Window, from_us, schedule, to_us

#: Zones whose clocks change at midnight, by half an hour, in the south, never; and all of their periods.
ZONES = [
    "UTC",
    "Europe/Zurich",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/Havana",
    "Asia/Gaza",
]
CALENDAR = [Period.HOUR, Period.DAY, Period.WEEK, Period.MONTH]
INSTANTS = st.integers(to_us(datetime(2024, 1, 1, tzinfo=UTC)), to_us(datetime(2032, 1, 1, tzinfo=UTC)))
HOUR = 3_600_000_000


def at(text):
    return to_us(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("period", "zone", "instant", "start", "end"),
    [
        ("day", "Europe/Zurich", "2026-03-29T12:00+02:00", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"),
        ("day", "Europe/Zurich", "2026-10-25T02:30+01:00", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"),
        ("month", "Europe/Zurich", "2026-03-31T23:59+02:00", "2026-03-01T00:00+01:00", "2026-04-01T00:00+02:00"),
        ("month", "UTC", "2028-02-29T23:59:59+00:00", "2028-02-01T00:00+00:00", "2028-03-01T00:00+00:00"),
        ("month", "America/New_York", "2026-12-31T23:00-05:00", "2026-12-01T00:00-05:00", "2027-01-01T00:00-05:00"),
        ("week", "America/New_York", "2026-11-01T12:00-05:00", "2026-10-26T00:00-04:00", "2026-11-02T00:00-05:00"),
        ("week", "UTC", "2026-11-23T00:00+00:00", "2026-11-23T00:00+00:00", "2026-11-30T00:00+00:00"),
        ("hour", "Asia/Kolkata", "2026-11-24T10:29:59+00:00", "2026-11-24T09:30+00:00", "2026-11-24T10:30+00:00"),
        # clocks go back half an hour at two: the hour from half past one is half an hour long
        ("hour", "Australia/Lord_Howe", "2026-04-04T15:10+00:00", "2026-04-04T15:00+00:00", "2026-04-04T15:30+00:00"),
        # there is no midnight on that day
        ("day", "Africa/Cairo", "2026-04-24T12:00+03:00", "2026-04-23T22:00+00:00", "2026-04-24T21:00+00:00"),
    ],
    ids=lambda value: value[:22],
)
def test_calendar_periods_over_clock_changes_and_months_ends(period, zone, instant, start, end):
    span = schedule(Period(period), Window.CALENDAR, zone).bucket(at(instant))
    assert (from_us(span.start_us), from_us(span.end_us)) == (from_us(at(start)), from_us(at(end)))


@given(st.sampled_from(CALENDAR), st.sampled_from(ZONES), INSTANTS)
def test_every_instant_lies_in_one_period_and_periods_follow_each_other(period, zone, instant):
    calendar = schedule(period, Window.CALENDAR, zone)
    span = calendar.bucket(instant)
    assert span.holds(instant)
    assert calendar.bucket(span.start_us) == calendar.bucket(span.end_us - 1) == span
    assert calendar.bucket(span.end_us).start_us == span.end_us
    assert calendar.bucket(span.start_us - 1).end_us == span.start_us


@given(st.sampled_from(CALENDAR[1:]), st.sampled_from(ZONES), INSTANTS)
def test_days_and_longer_begin_at_the_first_instant_of_a_local_date(period, zone, instant):
    span = schedule(period, Window.CALENDAR, zone).bucket(instant)
    before, first = (from_us(us).astimezone(ZoneInfo(zone)) for us in (span.start_us - 1, span.start_us))
    assert before.date() < first.date()
    match period:
        case Period.WEEK:
            assert first.weekday() == 0
        case Period.MONTH:
            assert first.day == 1
        case Period.DAY:
            assert first.date() == from_us(instant).astimezone(ZoneInfo(zone)).date()


ROLLING = [schedule(period, Window.ROLLING, "UTC") for period in CALENDAR]


@given(
    st.sampled_from(ROLLING),
    INSTANTS,
    st.lists(st.tuples(st.floats(0, 1.2), st.integers(1, 1000)), max_size=40),
)
def test_a_rolling_sum_is_never_less_than_the_windows_and_more_by_one_bucket_at_most(rolling, now, spending):
    assert isinstance(rolling, Rolling)
    events = [(now - int(back * rolling.length_us), nano) for back, nano in spending]
    buckets: dict[int, int] = {}
    for when, nano in events:
        start = rolling.bucket(when).start_us
        buckets[start] = buckets.get(start, 0) + nano
    counted = sum(nano for start, nano in buckets.items() if rolling.counts(now).holds(start))
    exact = sum(nano for when, nano in events if when > now - rolling.length_us)
    leaving = buckets.get(rolling.counts(now).start_us, 0)
    assert exact <= counted <= exact + leaving


@given(
    st.sampled_from(ROLLING),
    INSTANTS,
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 1000)), min_size=1, max_size=40),
    st.integers(1, 10_000),
)
def test_a_rolling_window_frees_an_amount_exactly_when_it_says(rolling, now, spending, amount):
    buckets: dict[int, int] = {}
    for back, nano in spending:
        start = rolling.bucket(now - int(back * rolling.length_us)).start_us
        buckets[start] = buckets.get(start, 0) + nano
    ordered = sorted(buckets.items())

    def counts(when):
        return sum(nano for start, nano in ordered if rolling.counts(when).holds(start))

    frees = rolling.frees(now, ordered, amount)
    if counts(now) < amount:
        assert frees == NEVER
        return
    assert counts(now) - counts(frees) >= amount
    assert counts(now) - counts(frees - 1) < amount


def test_a_rolling_window_has_the_length_it_says():
    lengths = [timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=30)]
    for rolling, length in zip(ROLLING, lengths, strict=True):
        assert isinstance(rolling, Rolling)
        assert rolling.length_us == length // timedelta(microseconds=1)
        assert rolling.length_us % rolling.width_us == 0


def test_what_is_for_once_counts_from_its_start_for_good():
    once = schedule(Period.ONCE, Window.CALENDAR, "UTC", at("2026-11-24T00:00+00:00"))
    now = at("2027-01-01T00:00+00:00")
    assert once.counts(now) == once.bucket(now)
    assert once.counts(now).start_us == at("2026-11-24T00:00+00:00")
    assert once.frees(now, [(0, 5)], 1) == NEVER


def test_a_day_of_hours_is_a_day():
    hours = schedule(Period.HOUR, Window.CALENDAR, "Europe/Zurich")
    day = schedule(Period.DAY, Window.CALENDAR, "Europe/Zurich").bucket(at("2026-10-25T12:00+01:00"))
    starts = [day.start_us]
    while starts[-1] < day.end_us:
        starts.append(hours.bucket(starts[-1]).end_us)
    assert starts[-1] == day.end_us
    assert len(starts) - 1 == 25
    assert {b - a for a, b in pairwise(starts)} == {HOUR}
