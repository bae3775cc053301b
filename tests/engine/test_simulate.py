from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.evaluate import evaluate, questions
from engine.history import Grid, load
from engine.notify import Alert, Reason, Sent, decide
from engine.rule import Rule, parse
from engine.simulate import replay
from engine.state import Instance, Transition, advance
from tests.engine.worlds import START, World

MINUTE = timedelta(minutes=1)
LENGTHS = st.sampled_from(["0s", "30s", "2m", "5m", "7m"])


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    op = draw(st.sampled_from([">", ">=", "<", "<=", "==", "!="]))
    value = draw(st.sampled_from([0, 5, 10, 15]))
    condition: dict[str, Any] = {
        "metric": draw(st.sampled_from(["cost", "requests", "error_rate"])),
        "window": draw(st.sampled_from(["5m", "10m"])),
        "op": op,
        "value": value,
    }
    if op not in ("==", "!=") and draw(st.booleans()):
        condition["recovery"] = value - 5 if op in (">", ">=") else value + 5
    if draw(st.integers(0, 3)) == 0:
        to, as_ = draw(st.sampled_from(["previous", "3m"])), draw(st.sampled_from(["percent", "difference"]))
        condition["compare"] = {"to": to, "as": as_}
    return condition


def branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    members = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.fixed_dictionaries({"all": members}),
        st.fixed_dictionaries({"any": members}),
        st.fixed_dictionaries({"not": inner}),
    )


RULES = st.fixed_dictionaries(
    {
        "name": st.just("r"),
        "when": st.recursive(conditions(), branches, max_leaves=4),
        "group_by": st.sampled_from([[], ["model"]]),
        "every": st.sampled_from(["60s", "120s"]),
        "for": LENGTHS,
        "keep_firing_for": LENGTHS,
        "delay": st.sampled_from(["0s", "60s"]),
        "no_data": st.sampled_from(["ok", "no_data", "firing", "keep"]),
        "cooldown": LENGTHS,
        "repeat": LENGTHS,
        "notify": st.just(["one"]),
    },
    optional={"active": st.just({"days": "mon-sun", "hours": "00:20-00:50"})},
).map(parse)


def driven(rule: Rule, world: World, grid: Grid) -> tuple[list[Transition], list[tuple[datetime, str, Reason]]]:
    """The live engine's loop: ask, evaluate, step and decide at every tick."""
    instances: dict[str, Instance] = {}
    transitions: list[Transition] = []
    teller = Teller(rule)
    for tick in range(len(grid)):
        now = grid.at(tick)
        answers = [world.answer(question) for question in questions(rule, now)]
        made = advance(rule, instances, evaluate(rule, answers, instances), now)
        instances = {key: s.instance for key, s in made.items() if s.instance}
        transitions += [s.transition for s in made.values() if s.transition]
        for key, s in made.items():
            teller.hear(key, s.transition, now)
    return transitions, teller.told


class Teller:
    """Decides at every tick about every open incident, and once more when it ends."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.open: dict[str, int] = {}
        self.count: dict[str, int] = {}
        self.logs: dict[str, list[Sent]] = {}
        self.last: dict[str, Reason] = {}
        self.told: list[tuple[datetime, str, Reason]] = []

    def hear(self, key: str, transition: Transition | None, now: datetime) -> None:
        if transition and transition.opens:
            self.count[key] = self.open[key] = self.count.get(key, 0) + 1
            self.last[key] = Reason.NOTHING_NEW
        if key in self.open:
            ended = bool(transition and transition.resolves)
            self.decide(key, frozenset() if ended else frozenset({key}), now)
            if ended:
                del self.open[key]

    def decide(self, key: str, firing: frozenset[str], now: datetime) -> None:
        log, alert = self.logs.setdefault(key, []), Alert(f"{key}#{self.open[key]}", firing)
        why = decide(self.rule, log, alert, now)
        if why.notifies:
            log.append(Sent(now, alert.id, why, firing))
        if why is not Reason.NOTHING_NEW and (why.notifies or why is not self.last[key]):
            self.told.append((now, key, why))
        self.last[key] = why


def by_group(items: list[Any], key: Any) -> Mapping[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for item in items:
        groups.setdefault(str(key(item)), []).append(item)
    return groups


@settings(max_examples=120, deadline=None)
@given(rule=RULES, seed=st.integers(0, 9999), block=st.integers(1, 9))
def test_the_simulator_moves_and_tells_exactly_as_the_live_engine(rule: Rule, seed: int, block: int):
    world, grid = World(seed, block=block), Grid(START, START + 70 * MINUTE, rule.every)

    simulated = replay(rule, load(rule, world.series, grid))
    transitions, told = driven(rule, world, grid)

    assert by_group(list(simulated.transitions), lambda t: t.labels) == by_group(transitions, lambda t: t.labels)
    mine = [(n.time, n.labels, n.reason) for n in simulated.notices]
    theirs = [(at, rule_labels(key), why) for at, key, why in told]
    assert by_group(mine, lambda n: n[1]) == by_group(theirs, lambda n: n[1])


def rule_labels(key: str) -> Mapping[str, str]:
    return {} if key == "{}" else {"model": key.split('"')[3]}
