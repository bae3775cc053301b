"""What is said at every tick at once is what the live engine says at each."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.evaluate import Group, labels_of, number, truth_of
from engine.history import Grid, History, Points, load
from engine.rule import Rule, parse
from engine.track import Meanings, Track, track
from engine.truth import GroupTruth
from tests.engine.test_simulate import RULES
from tests.engine.worlds import START, World

MINUTE = timedelta(minutes=1)


def live(rule: Rule, history: History, group: Group, tick: int, held: frozenset[int]) -> GroupTruth | None:
    """What `engine.evaluate` makes of the values that a history has at one tick."""

    def value(points: Points | None) -> float | None:
        found = points.values[points.ticks == tick].tolist() if points else []
        return number(found[0]) if found else None

    at = [[points.get(group) for points in part] for part in history.series]
    if rule.group_by and not any(points and tick in points.ticks for part in at for points in part):
        return None
    empty = [0.0 if c.metric in ("cost", "requests") else None for c in rule.conditions]
    values = [
        tuple(blank if (found := value(points)) is None else found for points in part)
        for part, blank in zip(at, empty, strict=True)
    ]
    return truth_of(rule, labels_of(rule, group), values, [""] * len(values), held)


def tracks(rule: Rule, history: History) -> dict[Group, Track]:
    meanings = Meanings(rule)
    groups = history.groups() if rule.group_by else [()]
    return {group: track(meanings, history, group, labels_of(rule, group)) for group in groups}


@settings(max_examples=40, deadline=None)
@given(rule=RULES, seed=st.integers(0, 9999), block=st.integers(1, 9), data=st.data())
def test_every_tick_says_what_an_evaluation_would(rule: Rule, seed: int, block: int, data: st.DataObject):
    history = load(rule, World(seed, block=block).series, Grid(START, START + 20 * MINUTE, rule.every))
    held = frozenset(data.draw(st.sets(st.sampled_from(rule.recovering)) if rule.recovering else st.just(set())))

    for group, found in tracks(rule, history).items():
        for tick in range(len(history.grid)):
            said, expected = found.verdict(tick, held), live(rule, history, group, tick, held)
            assert (said is None) == (expected is None)
            if said and expected:
                assert said == (expected.labels, expected.truth, expected.value, expected.threshold, expected.truths)


COST = {"metric": "cost", "window": "5m", "op": ">", "value": 10}
ERRORS = {"metric": "error_rate", "window": "5m", "op": ">", "value": 10}
NAN = float("nan")


@pytest.mark.parametrize(
    ("when", "values", "changes"),
    [
        pytest.param(COST, [[1, 2, 11, 12, 3]], [2, 4], id="a threshold crossed"),
        pytest.param({**COST, "recovery": 5}, [[1, 7, 11, 7, 1]], [1, 2, 3, 4], id="and the one it is held by"),
        pytest.param(
            {"all": [COST, ERRORS]}, [[1, 11, 11, 1], [1, 1, 11, 11]], [2, 3], id="what the rule does not say"
        ),
        pytest.param(ERRORS, [[1, NAN, NAN, 11]], [1, 3], id="no data"),
    ],
)
def test_changes_are_where_the_rule_says_something_else(when, values, changes):
    assert of_values(when, values).changes == changes


def test_a_group_that_vanishes_is_looked_at_once_more_before_it_does():
    found = of_values(COST, [[11, 12, 13, 11]], ticks=[0, 1, 2, 5], group_by=["model"])

    assert (found.changes, found.first) == ([2, 3, 5], 0)


def of_values(when, values, ticks=None, group_by=()):
    rule = parse({"name": "r", "when": when, "group_by": list(group_by)})
    ticks = np.array(ticks or range(len(values[0])))
    group = ("m",) if group_by else ()
    series = tuple(({group: Points(ticks, np.array(line, dtype=np.float64))},) for line in values)
    history = History(Grid(START, START + (int(ticks[-1]) + 1) * MINUTE, MINUTE), series)
    return tracks(rule, history)[group]
