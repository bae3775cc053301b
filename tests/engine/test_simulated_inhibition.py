"""Rules that keep one another quiet: what a replay of each says is told, held to what the live engine told of all."""

from collections.abc import Sequence
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from data.client import FlightStore
from engine import tick as ticking
from engine.episode import Watched
from engine.history import Grid, load
from engine.recorded import surroundings
from engine.rule import Rule, parse
from engine.rule_changes import commit, creating
from engine.simulate import replay
from engine.truth import group_key
from tests.engine.test_simulate import MINUTE, STORED
from tests.engine.test_simulated_notices import apart, clean
from tests.engine.worlds import START, World

NAMES = ("a", "b", "c")
LENGTH = 20 * MINUTE
LENGTHS = st.sampled_from(["0s", "1m", "3m"])
INHIBITION = st.fixed_dictionaries(
    {"match": st.sampled_from([{"rule": "a"}, {"rule": "b"}, {"rule": "c"}, {"rule": "[ab]"}, {"severity": "high"}])},
    optional={
        "equal": st.sampled_from([["model"], ["model", "level"]]),
        "source": st.sampled_from([{"model": "a"}, {"level": "critical"}, {"severity": "critical"}]),
    },
)


def rule(name: str) -> st.SearchStrategy[Rule]:
    return st.fixed_dictionaries(
        {
            "name": st.just(name),
            "severity": st.sampled_from(["critical", "high", "low"]),
            "when": st.fixed_dictionaries(
                {
                    "metric": st.sampled_from(["cost", "requests"]),
                    "window": st.sampled_from(["5m", "10m"]),
                    "op": st.just(">"),
                    "value": st.sampled_from([5, 10]),
                },
                optional={"warn": st.just(1)},
            ),
            "group_by": st.sampled_from([[], ["model"]]),
            "inhibits": st.lists(INHIBITION, min_size=1, max_size=2),
            "for": LENGTHS,
            "keep_firing_for": LENGTHS,
            "repeat": LENGTHS,
            "flapping": st.none(),
            "every": st.just("60s"),
            "notify": st.just(["in-app"]),
        },
    ).map(parse)


@settings(max_examples=10, **STORED)
@given(found=st.tuples(*map(rule, NAMES)), seed=st.integers(0, 9999), block=st.integers(1, 4))
def test_of_rules_that_keep_one_another_quiet_each_is_replayed_as_it_was_told(
    store: FlightStore, found: Sequence[Rule], seed: int, block: int
):
    clean(store)
    world, grid = World(seed, block=block), Grid(START, START + LENGTH, MINUTE)
    made = [creating(each, by="ada", at=START) for each in found]
    commit(store, made)
    watched = [Watched(one.row.id, 1, each) for one, each in zip(made, found, strict=True)]

    for tick in range(len(grid)):
        ticking.tick(store, watched, grid.at(tick), asking=world.asking)

    for one in watched:
        around = surroundings(store, one.rule, grid.start, grid.end, rule_id=one.id)
        replayed = replay(one.rule, load(one.rule, world.series, grid), around)
        mine = [(n.time, group_key(n.labels), n.channel, n.reason.value) for n in replayed.notices]
        event("inhibited" if any(reason == "inhibited" for *_, reason in mine) else "nothing is kept quiet")
        assert apart(mine, told(store, one.id)) == ([], [])


def told(store: FlightStore, rule_id: str) -> list[tuple[Any, ...]]:
    columns = "created_at, group_key, channel, reason"
    question = f"SELECT {columns} FROM notifications WHERE rule_id = ? AND alert_id != ''"
    return store.sql(question, [rule_id]).rows()
