"""The scenario files: each leads to what it says, and the simulator and the live engine lead to the same."""

from pathlib import Path

import pytest

from engine import rehearsal
from engine.scenario import Scenario, read_file
from engine.scenario_run import checks, replayed

FOLDER = Path(__file__).parent / "scenarios"
SCENARIOS = [
    pytest.param(scenario, id=f"{file.stem}: {scenario.name}")
    for file in sorted(FOLDER.glob("*.yaml"))
    for scenario in read_file(file)
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_comes_as_it_says(store, scenario: Scenario):
    played = rehearsal.play(store, scenario)

    assert [check for check in checks(scenario, played) if not check.passed] == []
    if scenario.events:
        return
    simulated = replayed(scenario)
    assert sorted(simulated.notices) == sorted(played.notices)
    for group in simulated.states.keys() | played.states.keys():
        for number in range(scenario.length):
            at = number * scenario.rule.every
            assert simulated.state(dict(group), at) == played.state(dict(group), at), (group, at)


def test_every_scenario_has_a_name_and_no_two_the_same():
    names = [param.id for param in SCENARIOS]
    assert len(names) == len(set(names))
    assert all(name.partition(": ")[2] for name in names)
    assert len(names) >= 40
