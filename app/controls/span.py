"""The time range of a page: presets that end now, or two instants; and the range before it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo


class Preset(StrEnum):
    """Ranges that have a name. Days are the viewer's calendar days, today included."""

    TODAY = "today"
    WEEK = "7d"
    MONTH = "30d"
    QUARTER = "90d"
    CUSTOM = "custom"

    @property
    def days(self) -> int:
        """How many calendar days it covers; 0 for a custom range."""
        return {"today": 1, "7d": 7, "30d": 30, "90d": 90}.get(self.value, 0)


LABELS = {
    Preset.TODAY: "Today",
    Preset.WEEK: "7d",
    Preset.MONTH: "30d",
    Preset.QUARTER: "90d",
    Preset.CUSTOM: "Custom",
}


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of aware UTC instants, and the zone whose calendar it follows."""

    start: datetime
    end: datetime
    tz: str
    preset: Preset = Preset.CUSTOM

    @property
    def length(self) -> timedelta:
        """From start to end."""
        return self.end - self.start

    def previous(self) -> "Span":
        """The range just before: the same number of calendar days earlier, up to the same time of day.

        A custom range that is no whole number of days is moved back by its length.
        """
        days = self.preset.days or self._whole_days()
        if not days:
            return Span(self.start - self.length, self.start, self.tz)
        return Span(_days_earlier(self.start, days, self.tz), _days_earlier(self.end, days, self.tz), self.tz)

    def _whole_days(self) -> int:
        """How many calendar days lie between start and end; 0 where their times of day differ."""
        start, end = (at.astimezone(ZoneInfo(self.tz)) for at in (self.start, self.end))
        return (end.date() - start.date()).days if start.time() == end.time() else 0

    def label(self) -> str:
        """`17 Nov, 00:00 - 24 Nov 2026, 14:05` in the range's zone."""
        start, end = (at.astimezone(ZoneInfo(self.tz)) for at in (self.start, self.end))
        year = f" {start:%Y}" if start.year != end.year else ""
        return f"{start.day} {start:%b}{year}, {start:%H:%M} \u2013 {end.day} {end:%b %Y, %H:%M}"

    def slug(self) -> str:
        """For file names: `2026-11-17_2026-11-24_Europe-Berlin`, with times where they are not midnight."""
        return "_".join([*(_stamp(at, self.tz) for at in (self.start, self.end)), self.tz.replace("/", "-")])


def span(
    preset: Preset, now: datetime, tz: str, *, begin: datetime | None = None, until: datetime | None = None
) -> Span:
    """The range of `preset` at `now`, or from `begin` to `until` (naive: in `tz`) for a custom one.

    A preset's end is the next whole minute, so that what happened just now is inside and the rollups answer it.
    """
    zone = ZoneInfo(tz)
    end = now.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    if preset is not Preset.CUSTOM:
        return Span(_midnight(now.astimezone(zone).date() - timedelta(days=preset.days - 1), zone), end, tz, preset)
    first = _aware(begin, zone) if begin else _midnight(now.astimezone(zone).date(), zone)
    last = _aware(until, zone) if until else end
    return Span(min(first, last), max(first, last, min(first, last) + timedelta(minutes=1)), tz)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _aware(at: datetime, zone: ZoneInfo) -> datetime:
    return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)


def _days_earlier(at: datetime, days: int, tz: str) -> datetime:
    local = at.astimezone(ZoneInfo(tz)).replace(tzinfo=None) - timedelta(days=days)
    return local.replace(tzinfo=ZoneInfo(tz)).astimezone(UTC)


def _stamp(at: datetime, tz: str) -> str:
    local = at.astimezone(ZoneInfo(tz))
    return f"{local:%Y-%m-%d}" if local.time() == time() else f"{local:%Y-%m-%dT%H%M}"
