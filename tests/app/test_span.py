"""Ranges follow the viewer's calendar, through changes of the clocks too."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.controls.pickers import automatic, fits
from app.controls.span import Preset, Span, span
from data.periods import Grain

NOW = datetime(2026, 11, 23, 13, 5, 40, tzinfo=UTC)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def test_today_begins_at_the_viewers_midnight_and_ends_with_the_running_minute():
    today = span(Preset.TODAY, NOW, "Europe/Berlin")
    assert (today.start, today.end) == (at(2026, 11, 22, 23, 0), at(2026, 11, 23, 13, 6))


def test_seven_days_are_calendar_days_with_today_among_them():
    assert span(Preset.WEEK, NOW, "America/New_York").start == at(2026, 11, 17, 5, 0)


def test_the_range_before_ends_at_the_same_time_of_day():
    before = span(Preset.WEEK, NOW, "UTC").previous()
    assert (before.start, before.end) == (at(2026, 11, 10), at(2026, 11, 16, 13, 6))


def test_the_range_before_keeps_midnight_when_the_clocks_changed_between():
    # Berlin left summer time on 25 October 2026
    week = span(Preset.WEEK, at(2026, 10, 30, 12, 0), "Europe/Berlin")
    assert week.start == at(2026, 10, 23, 22, 0)
    assert week.previous().start == at(2026, 10, 16, 22, 0)
    assert week.previous().end == at(2026, 10, 23, 11, 1)


def test_a_custom_range_reads_its_instants_on_the_viewers_clock():
    own = span(Preset.CUSTOM, NOW, "Asia/Tokyo", begin=datetime(2026, 11, 1), until=datetime(2026, 11, 2))  # noqa: DTZ001
    assert (own.start, own.end) == (at(2026, 10, 31, 15, 0), at(2026, 11, 1, 15, 0))
    assert own.previous() == Span(at(2026, 10, 30, 15, 0), at(2026, 10, 31, 15, 0), "Asia/Tokyo")


def test_the_range_before_a_custom_one_of_whole_days_keeps_midnight():
    own = span(Preset.CUSTOM, NOW, "Europe/Berlin", begin=datetime(2026, 11, 1), until=datetime(2026, 11, 8))  # noqa: DTZ001
    assert own.previous() == Span(at(2026, 10, 24, 22, 0), at(2026, 10, 31, 23, 0), "Europe/Berlin")


def test_a_custom_range_given_backwards_is_the_range_between():
    own = span(Preset.CUSTOM, NOW, "UTC", begin=datetime(2026, 11, 5), until=datetime(2026, 11, 1))  # noqa: DTZ001
    assert (own.start, own.end) == (at(2026, 11, 1), at(2026, 11, 5))


def test_the_label_and_the_file_name_say_range_and_zone():
    week = span(Preset.WEEK, NOW, "Europe/Berlin")
    assert week.label() == "17 Nov, 00:00 \u2013 23 Nov 2026, 14:06"
    assert week.slug() == "2026-11-17_2026-11-23T1406_Europe-Berlin"


@given(
    st.sampled_from([p for p in Preset if p.days]),
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe"]),
)
def test_a_range_is_never_empty_and_never_overlaps_the_one_before(preset, now, tz):
    chosen = span(preset, now, tz)
    before = chosen.previous()
    assert chosen.start <= now < chosen.end
    assert before.start < before.end <= chosen.end
    assert before.start < chosen.start


@pytest.mark.parametrize(
    ("preset", "grain"),
    [(Preset.TODAY, Grain.QUARTER), (Preset.WEEK, Grain.HOUR), (Preset.MONTH, Grain.DAY), (Preset.QUARTER, Grain.DAY)],
)
def test_the_automatic_grain_suits_the_range(preset, grain):
    chosen = span(preset, NOW.replace(hour=23), "UTC")
    assert automatic(chosen) is grain
    assert fits(grain, chosen)


def test_a_grain_with_too_many_buckets_does_not_fit():
    assert not fits(Grain.MINUTE, span(Preset.MONTH, NOW, "UTC"))
