"""Scenarios run: what they lead to, held to what is expected of them.

Where nothing but time passes, the simulator replays the rule; where people act, the worker is hit or a measurement
fails, the live engine plays it. Both come to the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from engine import rehearsal
from engine.course import Course, Told
from engine.durations import written
from engine.history import Grid, load
from engine.scenario import Scenario
from engine.scenario_series import Given
from engine.simulate import replay


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation and what was found; `what` says which, in words."""

    what: str
    expected: str
    found: str

    @property
    def passed(self) -> bool:
        """Whether it came as expected."""
        return self.expected == self.found


def run(scenario: Scenario) -> list[Check]:
    """Play the scenario and check it."""
    return checks(scenario, played(scenario) if scenario.eventful else replayed(scenario))


def played(scenario: Scenario) -> Course:
    """What it leads to, by the live engine on a store of its own."""
    with rehearsal.scratch() as store:
        return rehearsal.play(store, scenario)


def replayed(scenario: Scenario) -> Course:
    """What it leads to, by the simulator; events and failures have no place there."""
    end = scenario.start + scenario.length * scenario.rule.every
    grid = Grid(scenario.start, end, scenario.rule.every)
    found = replay(scenario.rule, load(scenario.rule, Given(scenario), grid))
    course = Course()
    for band in found.bands:
        states = course.states.setdefault(tuple(sorted(band.labels.items())), [])
        states.append((band.start - scenario.start, band.state))
    for notice in found.notices:
        labels = tuple(sorted(notice.labels.items()))
        course.notices.append(Told(notice.time - scenario.start, labels, notice.channel, notice.reason))
    return course


def checks(scenario: Scenario, course: Course) -> list[Check]:
    """Every expectation with what came of it, and, where any are given, every notice that was not expected."""
    states = [
        Check(
            f"{_of(tuple(sorted(expected.labels.items())))}at {written(expected.at)}",
            expected.state.value,
            course.state(expected.labels, expected.at).value,
        )
        for expected in scenario.expect
    ]
    return states + (_notices(scenario, course) if scenario.notices else [])


def _notices(scenario: Scenario, course: Course) -> list[Check]:
    wanted = {(n.at, _of(tuple(sorted(n.labels.items()))), n.channel): n.reason.value for n in scenario.notices}
    told = {(n.at, _of(n.labels), n.channel): n.reason.value for n in course.notices}
    return [
        Check(f"{channel} {of}at {written(at)}", wanted.get((at, of, channel), "-"), told.get((at, of, channel), "-"))
        for at, of, channel in sorted({**told, **wanted})
    ]


def _of(labels: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{name}={value} " for name, value in labels)
