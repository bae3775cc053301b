"""When the team calls: a day and night, a week and its end, growth, and the two hours that stand out."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from data.demo.storyline import Story
from data.demo_team import CULPRIT, MEMBERS, Hours, Member
from data.model import Protocol

_HOUR = timedelta(hours=1)
#: Relative calls in each of the day's 24 hours, a digit an hour (UTC; the team sits one hour east of it).
_SHAPES: Mapping[Hours, str] = {
    Hours.OFFICE: "000000379976799864211000",
    Hours.LATE: "210000013675689987678754",
    Hours.ALWAYS: "222222457899999888766433",
    Hours.NIGHTLY: "299500000000000000000000",
}
_WEEKEND: Mapping[Hours, float] = {Hours.OFFICE: 0.06, Hours.LATE: 0.2, Hours.ALWAYS: 0.55, Hours.NIGHTLY: 1.0}
_GROWTH = 0.6  # more calls at the end than at the start
_SPIKE_SHARE = 0.3  # of a usual day's calls
_BURST_FACTOR = 1.7  # clients retry


def first_hour(story: Story) -> datetime:
    """The start of the first hour."""
    return story.start.replace(minute=0, second=0, microsecond=0)


def calls(story: Story, requests: int, random: np.random.Generator) -> NDArray[np.int64]:
    """How many calls each member made in each hour, (hours, members); they add up to `requests`."""
    weights = _weights(story, random)
    drawn = random.multinomial(requests, (weights / weights.sum()).ravel())
    return drawn.reshape(weights.shape).astype(np.int64)


def _weights(story: Story, random: np.random.Generator) -> NDArray[np.float64]:
    begin = first_hour(story)
    number = max(1, -(-(story.end - begin) // _HOUR))
    hours = [begin + index * _HOUR for index in range(number)]
    weights = np.array([[_usual(member, hour) for member in MEMBERS] for hour in hours])
    weights *= np.linspace(1, 1 + _GROWTH, number)[:, None]
    # people work in spells: many calls in one hour, hardly any in the next; services do not
    spells = np.array([0.9 if member.traits.has_sessions else 0.2 for member in MEMBERS])
    weights *= random.lognormal(0, 1, weights.shape) ** spells
    _add_events(weights, hours, story)
    weights[0] *= 1 - (story.start - begin) / _HOUR
    weights[-1] *= (story.end - hours[-1]) / _HOUR
    # a history of a few quiet minutes still has calls in it
    return weights if weights.sum() > 0 else np.ones_like(weights)


def _usual(member: Member, hour: datetime) -> float:
    weekend = _WEEKEND[member.hours] if hour.weekday() > 4 else 1.0
    return member.weight * int(_SHAPES[member.hours][hour.hour]) * weekend


def _add_events(weights: NDArray[np.float64], hours: list[datetime], story: Story) -> None:
    a_day = weights.sum() / max(1.0, len(hours) / 24)
    for index, hour in enumerate(hours):
        if hour.date() == story.spike and 12 <= hour.hour < 22:
            weights[index, MEMBERS.index(CULPRIT)] += a_day * _SPIKE_SHARE / 10
        if hour == story.burst:
            weights[index] *= [_BURST_FACTOR if m.traits.protocol is Protocol.ANTHROPIC else 1 for m in MEMBERS]
