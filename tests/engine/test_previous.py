"""What calendar windows are compared with: the period before, up to the same time on the wall's clock."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.records import record_table
from engine.evaluate import spans
from engine.history import Grid, load
from engine.previous import back, same_time_before, stretches
from engine.rule import parse
from engine.series import stored
from engine.simulate import replay
from engine.window import Calendar, Period, Rolling
from tests.data.ledger import record
from tests.engine.test_rule import with_condition
from tests.engine.test_series import driven

BERLIN, NEW_YORK, CAIRO = "Europe/Berlin", "America/New_York", "Africa/Cairo"
HOUR, US = timedelta(hours=1), timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("window", "zone", "at", "expected"),
    [
        ("today", "UTC", "2026-05-20T10:30", "2026-05-19T10:30"),
        ("today", BERLIN, "2026-05-20T10:30", "2026-05-19T10:30"),
        ("today", "UTC", "2026-05-20T00:00", "2026-05-19T00:00"),  # the 19th, whole, and the 18th
        ("today", BERLIN, "2026-03-29T10:00", "2026-03-28T10:00"),  # 23 hours before
        ("today", BERLIN, "2026-03-30T10:00", "2026-03-29T10:00"),
        ("today", BERLIN, "2026-03-30T02:30", "2026-03-29T03:30"),  # a time that the clock skipped
        ("today", BERLIN, "2026-10-25T10:00", "2026-10-24T10:00"),  # 25 hours before
        ("today", BERLIN, "2026-10-26T02:30", "2026-10-25T02:30"),
        ("today", CAIRO, "2026-04-25T01:00", "2026-04-24T01:00"),  # yesterday began at one, and has not lasted yet
        ("this_week", "UTC", "2026-05-20T10:30", "2026-05-13T10:30"),
        ("this_week", NEW_YORK, "2026-03-10T09:00", "2026-03-03T09:00"),
        ("this_week", "UTC", "2026-05-18T00:00", "2026-05-11T00:00"),
        ("this_month", "UTC", "2026-05-20T10:30", "2026-04-20T10:30"),
        ("this_month", "UTC", "2026-01-15T10:30", "2025-12-15T10:30"),
        ("this_month", NEW_YORK, "2026-04-05T09:15", "2026-03-05T09:15"),
        ("this_month", "UTC", "2026-03-28T23:59", "2026-02-28T23:59"),
        ("this_month", "UTC", "2026-03-29T00:00", "2026-03-01T00:00"),
        ("this_month", "UTC", "2026-03-29T00:01", "2026-03-01T00:00"),  # February, whole
        ("this_month", "UTC", "2026-03-31T12:00", "2026-03-01T00:00"),
        ("this_month", "UTC", "2026-04-01T00:00", "2026-03-01T00:00"),  # March, whole
        ("this_month", "UTC", "2026-03-01T00:00", "2026-01-29T00:00"),  # February, whole, and as many days of January
        ("this_month", "UTC", "2028-03-29T10:00", "2028-02-29T10:00"),
        ("this_month", BERLIN, "2026-03-31T12:00", "2026-03-01T00:00"),
    ],
)
def test_the_same_time_before_is_the_walls(window: str, zone: str, at: str, expected: str):
    place = ZoneInfo(zone)
    now, then = (datetime.fromisoformat(text).replace(tzinfo=place).astimezone(UTC) for text in (at, expected))
    found = same_time_before(Period(window), now, place)
    assert found in (then, then + US)


def test_an_hour_that_comes_twice_looks_twice_at_the_same():
    place = ZoneInfo(BERLIN)
    times = [datetime(2026, 10, 25, 2, 30, tzinfo=place, fold=fold).astimezone(UTC) for fold in (0, 1)]
    assert {same_time_before(Period.TODAY, at, place) for at in times} == {
        datetime(2026, 10, 24, 2, 30, tzinfo=place).astimezone(UTC)
    }


def test_a_rolling_window_is_compared_with_the_one_before():
    assert back(Rolling(5 * HOUR), None, datetime(2026, 3, 29, tzinfo=UTC), ZoneInfo(BERLIN)) == 5 * HOUR


@pytest.mark.parametrize(
    ("window", "days", "at", "expected"),
    [
        ("today", 1, "2026-03-30T00:30", ["2026-03-29T00:00", "2026-03-29T00:30"]),  # of a day with 23 hours
        ("today", 1, "2026-03-29T23:30", ["2026-03-28T00:00", "2026-03-28T23:30"]),
        ("today", 1, "2026-10-25T23:30", ["2026-10-24T00:00", "2026-10-24T23:30"]),  # of a day with 25
        ("today", 1, "2026-10-26T00:30", ["2026-10-25T00:00", "2026-10-25T00:30"]),
        ("today", 7, "2026-03-30T00:30", ["2026-03-23T00:00", "2026-03-23T00:30"]),
        ("today", 1, "2026-03-30T00:00", ["2026-03-28T00:00", "2026-03-29T00:00"]),  # the 29th, whole, and the 28th
        ("this_week", 7, "2026-03-30T00:30", ["2026-03-23T00:00", "2026-03-23T00:30"]),
        ("this_week", 7, "2026-10-26T00:30", ["2026-10-19T00:00", "2026-10-19T00:30"]),
        ("this_month", 28, "2026-04-01T00:30", ["2026-03-01T00:00", "2026-03-04T00:30"]),
        ("today", 0.5, "2026-03-29T14:00", ["2026-03-29T00:00", "2026-03-29T01:00"]),  # no whole day: so long ago
    ],
)
def test_whole_days_ago_a_calendar_is_looked_at_up_to_the_same_time_on_the_wall(
    window: str, days: float, at: str, expected: list[str]
):
    compare = {"to": f"{int(24 * days)}h"}
    rule = parse({**with_condition(window=window, compare=compare), "tz": BERLIN})
    now = datetime.fromisoformat(at).replace(tzinfo=rule.zone).astimezone(UTC)
    _, then = spans(rule, rule.conditions[0], now)
    assert [f"{edge.astimezone(rule.zone):%Y-%m-%dT%H:%M}" for edge in (then.start, then.end)] == expected


def test_a_rolling_window_is_as_long_ago_as_it_says():
    rule = parse({**with_condition(window="1h", compare={"to": "1d"}), "tz": BERLIN})
    now = datetime(2026, 3, 29, 12, tzinfo=UTC)
    assert spans(rule, rule.conditions[0], now)[1].end == now - timedelta(days=1)


def test_the_delay_is_taken_off_before_the_calendar_is_asked():
    rule = parse({**with_condition(window="this_month", compare={"to": "previous"}), "delay": "1h"})
    now, then = spans(rule, rule.conditions[0], datetime(2026, 4, 1, 0, 30, tzinfo=UTC))
    assert (now.start, now.end) == (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 31, 23, 30, tzinfo=UTC))
    assert (then.start, then.end) == (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))


DAYS = st.sampled_from([timedelta(days=1), timedelta(days=7), timedelta(days=30), timedelta(hours=36)])


@given(
    st.one_of(st.sampled_from(Period), DAYS),
    st.sampled_from(["UTC", BERLIN, NEW_YORK, CAIRO, "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"]),
    st.integers(0, 4 * 365 * 1440),
    st.sampled_from([timedelta(seconds=30), timedelta(minutes=7), HOUR, timedelta(hours=7)]),
)
def test_stretches_look_where_each_instant_looks(by: Period | timedelta, zone: str, start: int, step: timedelta):
    place, begun = ZoneInfo(zone), datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=start)
    times = [begun + n * step for n in range(300)]
    numbers = np.array([(at - datetime(1970, 1, 1, tzinfo=UTC)) // US for at in times], dtype=np.int64)
    found = []
    for one in stretches(by, numbers, place):
        assert one.first == len(found)
        first = times[one.first] - one.back
        found += [first if one.held else at - one.back for at in times[one.first : one.end]]
    assert found == [same_time_before(by, at, place) for at in times]
    period = by if isinstance(by, Period) else Period.TODAY
    for at, then in zip(times, found, strict=True) if by != timedelta(hours=36) else ():
        span = Calendar(period).span(then, place)
        assert span.start < span.end <= Calendar(period).span(at, place).start


def test_a_month_is_looked_at_in_few_stretches():
    every_minute = np.arange(31 * 1440, dtype=np.int64) * 60_000_000 + 1_772_323_200_000_000  # March 2026
    found = stretches(Period.THIS_MONTH, every_minute, ZoneInfo("UTC"))
    assert [(one.back.days, one.held) for one in found] == [(31, False), (28, False), (28, True)]
    assert len(stretches(Period.TODAY, every_minute, ZoneInfo("UTC"))) == 1


@pytest.mark.parametrize(
    ("window", "to"),
    [*[(each.value, "previous") for each in Period], ("today", "1d"), ("this_week", "1w"), ("today", "12h")],
)
@pytest.mark.parametrize(
    ("start", "days"), [(datetime(2026, 3, 6, 4, tzinfo=UTC), 5), (datetime(2026, 3, 27, 10, tzinfo=UTC), 6)]
)
def test_simulated_is_live_over_the_same_ledger(store, window: str, to: str, start: datetime, days: int):
    ends = [(n, datetime(2026, 1, 25, tzinfo=UTC) + n * 5 * HOUR) for n in range(340) if n * n % 23 > 9]
    rows = [record(n, at=at) for n, at in ends]
    store.put(record_table(rows), spool_id="test", first=1, last=len(rows))
    compare = {"to": to, "as": "difference"}
    when = {"metric": "requests", "window": window, "op": ">", "value": 0, "compare": compare}
    rule = parse({"name": "r", "when": when, "every": "3h", "group_by": ["key"], "tz": NEW_YORK, "delay": "1m"})
    grid = Grid(start, start + timedelta(days=days), 3 * HOUR)

    simulated = replay(rule, load(rule, stored(store), grid))

    expected = driven(rule, store, grid)
    assert expected
    assert sorted(simulated.transitions, key=repr) == sorted(expected, key=repr)
