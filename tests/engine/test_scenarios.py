"""The scenario files: each leads to what it says, and the simulator and the live engine lead to the same."""

from pathlib import Path
from textwrap import dedent

import pytest

from engine import rehearsal
from engine.errors import RuleError
from engine.scenario import Scenario, read, read_file
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
    if not scenario.is_replayable:
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


def test_what_the_docs_show_comes_as_it_says(store):
    shown = (Path(__file__).parents[2] / "docs" / "rules.md").read_text().partition("## Tests")[2].split("\n\n")[2]
    scenario = read(dedent(shown))
    assert scenario.events
    assert all(check.passed for check in checks(scenario, rehearsal.play(store, scenario)))


def test_an_event_that_nothing_is_there_for_is_a_fault(store):
    when = {"metric": "cost", "window": "5m", "op": ">", "value": 10}
    scenario = read(
        {
            "rule": {"name": "r", "when": when},
            "series": [{"metric": "cost", "values": "1x3"}],
            "events": [{"at": "1m", "acknowledge": {}}],
            "expect": [{"at": "1m", "state": "normal"}],
        }
    )
    with pytest.raises(RuleError, match="at 1m nothing is open"):
        rehearsal.play(store, scenario)
