"""What happened in the demo's history: the days and hours that a viewer should find."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Story:
    """The events of one history, which spans [`start`, `end`); all times are aware UTC."""

    start: datetime
    end: datetime
    spike: date  # the evaluation that cost several times a usual day
    burst: datetime  # the hour in which Anthropic was overloaded (status 529)
    switch: datetime  # the middle of the move from the old flagship model to the new one
    slower_from: datetime  # since then time to first token creeps up


def story(*, now: datetime, days: int) -> Story:
    """When things happened in the `days` before `now` (aware). Events fall on working days."""
    end = now.astimezone(UTC)
    noon = end.replace(hour=12, minute=0, second=0, microsecond=0)
    return Story(
        start=end - days * _DAY,
        end=end,
        spike=_working_day(noon - max(1, round(days * 0.21)) * _DAY).date(),
        burst=_working_day(noon - max(1, round(days * 0.07)) * _DAY).replace(hour=14),
        switch=noon - round(days * 0.45) * _DAY,
        slower_from=noon - round(days * 0.25) * _DAY,
    )


def _working_day(at: datetime) -> datetime:
    while at.weekday() > 4:
        at -= _DAY
    return at
