"""Scenarios run: what they lead to, held to what is expected of them.

Where nothing happens but silences, the simulator replays the rule; where people act, the worker is hit or a measurement
fails, the live engine plays it. Both come to the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from engine import rehearsal
from engine.course import Course, Told
from engine.digest import DIGEST
from engine.durations import written
from engine.history import Grid, load
from engine.rehearsal import JUST_BEFORE
from engine.scenario import Scenario
from engine.scenario_series import Given
from engine.silences import RULE, Silence
from engine.simulate import replay
from engine.surroundings import Surroundings


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
    return checks(scenario, replayed(scenario) if scenario.is_replayable else played(scenario))


def played(scenario: Scenario) -> Course:
    """What it leads to, by the live engine on a store of its own."""
    with rehearsal.scratch() as store:
        return rehearsal.play(store, scenario)


def replayed(scenario: Scenario) -> Course:
    """What it leads to, by the simulator; of events only silences have a place there, failures have none."""
    end = scenario.start + scenario.length * scenario.rule.every
    grid = Grid(scenario.start, end, scenario.rule.every)
    found = replay(scenario.rule, load(scenario.rule, Given(scenario), grid), _around(scenario))
    course = Course()
    for band in found.bands:
        states = course.states.setdefault(tuple(sorted(band.labels.items())), [])
        states.append((band.start - scenario.start, band.state))
    for notice in found.notices:
        labels = tuple(sorted(notice.labels.items()))
        course.notices.append(Told(notice.time - scenario.start, labels, notice.channel, notice.reason.value))
    for digest in found.digests:
        course.notices.append(Told(digest.time - scenario.start, (), digest.channel, DIGEST))
    return course


def _around(scenario: Scenario) -> Surroundings:
    """The scenario's silences and limits."""
    begun = [(scenario.start + event.at, event.silence) for event in scenario.events if event.silence]
    silences = (
        Silence(
            "",
            said.matchers or {RULE: scenario.rule.name},
            at - JUST_BEFORE,
            at - JUST_BEFORE + said.length,
            "",
            "",
            at,
        )
        for at, said in begun
    )
    limits = {name: taking.limit for name, taking in scenario.limits.items()}
    whole = frozenset(name for name, taking in scenario.limits.items() if not taking.partial_ends)
    return Surroundings(silences=tuple(silences), limits=limits, whole=whole)


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
    wanted = {(n.at, _of(tuple(sorted(n.labels.items()))), n.channel): n.reason for n in scenario.notices}
    told = {(n.at, _of(n.labels), n.channel): n.reason for n in course.notices}
    return [
        Check(f"{channel} {of}at {written(at)}", wanted.get((at, of, channel), "-"), told.get((at, of, channel), "-"))
        for at, of, channel in sorted({**told, **wanted})
    ]


def _of(labels: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{name}={value} " for name, value in labels)
