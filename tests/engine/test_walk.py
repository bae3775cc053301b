"""Steps that are left out would have changed nothing."""

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.evaluate import labels_of
from engine.history import Grid, load
from engine.rule import Rule, parse
from engine.state import Instance, Transition, step
from engine.track import Meanings, Track, track
from engine.walk import walk
from tests.engine.test_simulate import RULES
from tests.engine.test_track import of_values
from tests.engine.worlds import START, World

MINUTE = timedelta(minutes=1)


def every_tick(rule: Rule, grid: Grid, followed: Track) -> list[Transition]:
    """What stepping at each tick leads to."""
    transitions: list[Transition] = []
    instance: Instance | None = None
    for tick in range(len(grid)):
        made = step(rule, instance, followed.verdict(tick, instance.held if instance else frozenset()), grid.at(tick))
        transitions += [made.transition] if made.transition else []
        instance = made.instance
    return transitions


@settings(max_examples=100, deadline=None)
@given(rule=RULES, seed=st.integers(0, 9999), block=st.integers(1, 9))
def test_a_walk_moves_as_stepping_at_every_tick_does(rule: Rule, seed: int, block: int):
    grid = Grid(START, START + 60 * MINUTE, rule.every)
    history = load(rule, World(seed, block=block).series, grid)

    for level in rule.levels.values() or [rule]:
        meanings = Meanings(level)
        for group in history.groups() if rule.group_by else [()]:
            followed: Any = track(meanings, history, group, labels_of(rule, group))
            assert walk(level, grid, followed) == every_tick(level, grid, followed)


def test_what_is_not_held_any_more_is_looked_at_again():
    """With the first condition held nothing is met; once it is let go, the second branch is, by the same values."""
    cost, requests, errors = (
        {"metric": metric, "window": "5m", "op": ">", "value": 10} for metric in ("cost", "requests", "error_rate")
    )
    held = {**cost, "recovery": 5}
    when = {"any": [{"all": [held, requests]}, {"all": [{"not": held}, errors]}]}
    values = [[11, 7, 7, 7], [11, 1, 1, 1], [11, 7, 7, 7], [1, 11, 11, 11]]
    rule, grid = parse({"name": "r", "when": when}), Grid(START, START + 4 * MINUTE, MINUTE)

    moved = walk(rule, grid, of_values(when, values))

    assert [(each.at - START) // MINUTE for each in moved] == [0, 1, 2]
