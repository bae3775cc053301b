import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from data.client import FlightStore
from data.store import Statement
from engine import tick as ticking
from engine.episode import Watched
from engine.evaluate import evaluate, questions
from engine.history import Grid, load
from engine.notify import Alert, Reason, Sent, decide, listeners
from engine.rule import Rule, parse
from engine.rule_changes import commit, creating
from engine.simulate import CHARTED_GROUPS, Simulation, Totals, replay, simulate
from engine.state import Instance, State, Transition, advance
from engine.surroundings import Surroundings
from engine.truth import group_key
from tests.engine.worlds import START, World, frame

MINUTE = timedelta(minutes=1)
LENGTHS = st.sampled_from(["0s", "30s", "2m", "5m", "7m"])


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    op = draw(st.sampled_from([">", ">=", "<", "<=", "==", "!="]))
    value = draw(st.sampled_from([0, 5, 10, 15]))
    condition: dict[str, Any] = {
        "metric": draw(st.sampled_from(["cost", "requests", "error_rate"])),
        "window": draw(st.sampled_from(["5m", "10m", "5m", "10m", "today", "this_week", "this_month"])),
        "op": op,
        "value": value,
    }
    if op not in ("==", "!=") and draw(st.booleans()):
        condition["recovery"] = value - 5 if op in (">", ">=") else value + 5
    if op not in ("==", "!=") and draw(st.booleans()):
        milder = -5 if op in (">", ">=") else 5
        condition["warn"] = value + milder
        if draw(st.booleans()):
            condition["warn_recovery"] = value + 2 * milder
    if draw(st.integers(0, 3)) == 0:
        to = draw(st.sampled_from(["previous", "3m", "1d"]))
        as_ = draw(st.sampled_from(["percent", "difference"]))
        condition["compare"] = {"to": to, "as": as_}
    if draw(st.integers(0, 2)) == 0:
        condition["where"] = draw(st.sampled_from([{"provider": "x"}, {"model": ["a", "b"], "team": "core"}]))
    return condition


def branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    members = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.fixed_dictionaries({"all": members}),
        st.fixed_dictionaries({"any": members}),
        st.fixed_dictionaries({"not": inner.map(unwarned)}),
    )


def unwarned(node: dict[str, Any]) -> dict[str, Any]:
    """The tree without warnings: under a `not` they have no place."""
    if "metric" in node:
        return {name: value for name, value in node.items() if not name.startswith("warn")}
    return {word: [unwarned(m) for m in below] if word != "not" else unwarned(below) for word, below in node.items()}


def read(document: dict[str, Any]) -> Rule:
    """The rule, without what is about warnings where nothing warns."""
    warns = '"warn"' in json.dumps(document["when"])
    return parse({name: value for name, value in document.items() if warns or not name.startswith("warn")})


#: In the middle of a day, about the turn of a day, a week and a month, and about both changes of New York's clocks.
STARTS = st.sampled_from(
    [
        START,
        START - 30 * MINUTE,
        datetime(2026, 3, 1, 4, 40, tzinfo=UTC),
        datetime(2026, 3, 8, 6, 30, tzinfo=UTC),
        datetime(2026, 11, 1, 5, 30, tzinfo=UTC),
        datetime(2026, 11, 30, 18, 5, tzinfo=UTC),
    ]
)
RULES = st.fixed_dictionaries(
    {
        "name": st.just("r"),
        "when": st.recursive(conditions(), branches, max_leaves=4),
        "group_by": st.sampled_from([[], ["model"], ["model", "provider"]]),
        "tz": st.sampled_from(["UTC", "America/New_York", "Asia/Kathmandu"]),
        "every": st.sampled_from(["60s", "120s"]),
        "for": LENGTHS,
        "keep_firing_for": LENGTHS,
        "delay": st.sampled_from(["0s", "60s"]),
        "no_data": st.sampled_from(["ok", "no_data", "firing", "keep"]),
        "on_error": st.sampled_from(["error", "firing", "keep"]),
        "where": st.sampled_from([{}, {"team": "core"}]),
        "cooldown": LENGTHS,
        "repeat": LENGTHS,
        "notify": st.just(["one"]),
    },
    optional={
        "active": st.sampled_from(
            [
                {"days": "mon-sun", "hours": "00:20-00:50"},
                {"days": "sun,mon", "hours": "23:00-02:15", "tz": "America/New_York"},
            ]
        ),
        "flapping": st.sampled_from([None, {"count": 2, "within": "9m"}, {"count": 3, "within": "20m"}]),
        "escalate": st.just([{"after": "4m", "notify": "two"}, {"after": "9m", "notify": ["one", "two"]}]),
        "warn_notify": st.sampled_from([["two"], ["two", "one"]]),
    },
).map(read)


#: The channels that want no partial ends.
WHOLE = st.frozensets(st.sampled_from(["one", "two"]))


def driven(
    rule: Rule, world: World, grid: Grid, whole: frozenset[str] = frozenset()
) -> tuple[list[Transition], list[tuple[datetime, str, str, Reason]]]:
    """The live engine's loop: ask, evaluate, step and decide at every tick."""
    instances: dict[str, Instance] = {}
    transitions: list[Transition] = []
    teller = Teller(rule, whole)
    for tick in range(len(grid)):
        now = grid.at(tick)
        answers = [world.answer(question) for question in questions(rule, now)]
        made = advance(rule, instances, evaluate(rule, answers, instances), now)
        instances = {key: s.instance for key, s in made.items() if s.instance}
        transitions += [s.transition for s in made.values() if s.transition]
        teller.hear({key: s.transition for key, s in made.items()}, now)
    return transitions, teller.told


class Teller:
    """Decides at every tick about every open incident, and once more when it ends."""

    def __init__(self, rule: Rule, whole: frozenset[str] = frozenset()) -> None:
        self.rule, self.whole = rule, whole
        self.open: dict[str, int] = {}
        self.opens: dict[str, list[datetime]] = {}
        self.logs: dict[tuple[str, str], list[Sent]] = {}
        self.last: dict[tuple[str, str], Reason] = {}
        self.told: list[tuple[datetime, str, str, Reason]] = []

    def hear(self, transitions: Mapping[str, Transition | None], now: datetime) -> None:
        for key, transition in transitions.items():
            if transition and transition.opens:
                self.opens.setdefault(key, []).append(now)
                self.open[key] = len(self.opens[key])
                self.last |= {(key, channel): Reason.NOTHING_NEW for channel in listeners(self.rule_of(key))}
        concerned = sorted(key for key in transitions if key in self.open)
        ended = {key for key, transition in transitions.items() if transition and transition.resolves}
        names = {key: self.name(key) for key in concerned}
        self.open = {key: number for key, number in self.open.items() if key not in ended}
        firing = self.told_of()
        for key in concerned:
            self.decide(key, names[key], frozenset({key}) - ended, now, firing)

    def name(self, key: str) -> str:
        return f"{key}#{self.open[key]}"

    def told_of(self) -> dict[str, list[str]]:
        """By channel, the groups that it was told of and that fire still."""
        told: dict[str, list[str]] = {}
        for (key, channel), log in self.logs.items():
            if key in self.open and any(sent.alert_id == self.name(key) for sent in log):
                told.setdefault(channel, []).append(key)
        return told

    def rule_of(self, key: str) -> Rule:
        return self.rule.of(rule_labels(key))

    def beside(self, key: str, told: list[str]) -> int:
        """How many others of its level."""
        level = rule_labels(key).get("level")
        return sum(other != key and rule_labels(other).get("level") == level for other in told)

    def decide(self, key: str, name: str, firing: frozenset[str], now: datetime, told: Mapping[str, list[str]]) -> None:
        heard = [s.at for (group, _), log in self.logs.items() if group == key for s in log if s.alert_id == name]
        quiet = '"level":"warn"' in key and key.replace('"level":"warn"', '"level":"critical"') in self.open
        times = tuple(self.opens[key])
        alert = Alert(name, firing, told_at=min(heard, default=None), opens=times, inhibited=quiet)
        rule = self.rule_of(key)
        for channel, listener in listeners(rule, self.whole).items():
            log = self.logs.setdefault((key, channel), [])
            why = decide(rule, log, alert, now, listener, self.beside(key, told.get(channel, [])))
            if why.notifies:
                log.append(Sent(now, alert.id, why, firing))
            if why is not Reason.NOTHING_NEW and (why.notifies or why is not self.last[key, channel]):
                self.told.append((now, key, channel, why))
            self.last[key, channel] = why


def by_group(items: list[Any], key: Any) -> Mapping[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for item in items:
        groups.setdefault(group_key(key(item)), []).append(item)
    return groups


@settings(max_examples=120, deadline=None)
@given(rule=RULES, seed=st.integers(0, 9999), block=st.integers(1, 9), start=STARTS, whole=WHOLE)
def test_the_simulator_moves_and_tells_exactly_as_the_live_engine(
    rule: Rule, seed: int, block: int, start: datetime, whole: frozenset[str]
):
    world, grid = World(seed, block=block), Grid(start, start + 70 * MINUTE, rule.every)

    simulated = replay(rule, load(rule, world.series, grid), Surroundings(whole=whole))
    transitions, told = driven(rule, world, grid, whole)

    assert by_group(list(simulated.transitions), lambda t: t.labels) == by_group(transitions, lambda t: t.labels)
    if any(n.held for n in simulated.notices):  # digests: tests/engine/test_simulated_notices.py
        return
    mine = [(n.time, n.labels, n.channel, n.reason) for n in simulated.notices]
    theirs = [(at, rule_labels(key), channel, why) for at, key, channel, why in told]
    assert by_group(mine, lambda n: n[1]) == by_group(theirs, lambda n: n[1])


def rule_labels(key: str) -> Mapping[str, str]:
    labels: dict[str, str] = json.loads(key)
    return labels


STORED: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
    "phases": [Phase.explicit, Phase.reuse, Phase.generate],  # with a store to fill, shrinking takes for ever
}


@settings(max_examples=12, **STORED)
@given(rule=RULES, seed=st.integers(0, 9999), block=st.integers(1, 9), start=STARTS)
def test_the_simulator_moves_exactly_as_the_worker_has_stored(
    store: FlightStore, rule: Rule, seed: int, block: int, start: datetime
):
    world, grid = World(seed, block=block), Grid(start, start + 40 * MINUTE, rule.every)
    rule_id = alone(store, rule, start)

    for tick in range(len(grid)):
        ticking.tick(store, [Watched(rule_id, 1, rule)], grid.at(tick), asking=world.asking)
    simulated = replay(rule, load(rule, world.series, grid))

    assert moved(store, rule_id) == plainly(simulated.transitions)


@settings(max_examples=10, **STORED)
@given(rule=RULES, seed=st.integers(0, 9999), block=st.integers(1, 4))
def test_where_measurements_fail_the_worker_stores_what_the_states_make_of_it(
    store: FlightStore, rule: Rule, seed: int, block: int
):
    world, grid = World(seed, block=block, failing=25), Grid(START, START + 30 * MINUTE, rule.every)
    rule_id = alone(store, rule, START)

    for tick in range(len(grid)):
        ticking.tick(store, [Watched(rule_id, 1, rule)], grid.at(tick), asking=world.asking)

    transitions, _ = driven(rule, world, grid)
    event("failed" if any(t.reason.value == "error" for t in transitions) else "nothing failed")
    assert moved(store, rule_id) == plainly(transitions)


def alone(store: FlightStore, rule: Rule, at: datetime) -> str:
    """The id of the rule, the only one in the store now."""
    store.transact([Statement("DELETE FROM rules")])
    made = creating(rule, by="ada", at=at)
    commit(store, [made])
    return made.row.id


def moved(store: FlightStore, rule_id: str) -> list[tuple[Any, ...]]:
    columns = '"at", group_key, from_state, to_state, reason, value'
    return stored(store, f"SELECT {columns} FROM alert_events WHERE rule_id = ?", rule_id)


def plainly(transitions: Iterable[Transition]) -> list[tuple[Any, ...]]:
    return ordered(
        (t.at, group_key(t.labels), t.before.value, t.after.value, t.reason.value, t.value) for t in transitions
    )


def stored(store: FlightStore, question: str, rule_id: str) -> list[tuple[Any, ...]]:
    return ordered(store.sql(question, [rule_id]).rows())


def ordered(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """In an order that bears rows that differ in a value that one of them has not."""
    return sorted(rows, key=lambda row: [str(part) for part in row])


def given_line(*values: float | None, model: str = "a", step: timedelta = MINUTE) -> Callable[..., pl.DataFrame]:
    """A source with one group whose value at each minute from START is given; None: no row."""

    def series(*, by: tuple[str, ...], start: datetime, end: datetime, **_: object) -> pl.DataFrame:
        rows = [(START + n * step, *((model,) if by else ()), value) for n, value in enumerate(values)]
        return frame(["time", *by, "value"], [row for row in rows if row[-1] is not None and start <= row[0] < end])

    return series


def simulated(fields: dict[str, Any], *values: float | None) -> Simulation:
    rule = parse({"name": "r", "when": COSTLY, **fields})
    return simulate(rule, given_line(*values), START, START + len(values) * MINUTE)


COSTLY = {"metric": "cost", "window": "5m", "op": ">", "value": 10}


def minutes(at: datetime) -> int:
    return (at - START) // MINUTE


BANDS: list[Any] = [
    pytest.param({}, [1, 11, 11, 1], ["normal 0-1", "firing 1-3", "normal 3-4"], id="fires"),
    pytest.param({"for": "2m"}, [11] * 4, ["pending 0-2", "firing 2-4"], id="pends first"),
    pytest.param(
        {"keep_firing_for": "2m"}, [11, 1, 1, 1, 1], ["firing 0-1", "recovering 1-3", "normal 3-5"], id="recovers"
    ),
    pytest.param(
        {"no_data": "no_data", "when": {**COSTLY, "metric": "error_rate"}},
        [None, 11],
        ["no_data 0-1", "firing 1-2"],
        id="no data",
    ),
    pytest.param(
        {"group_by": ["model"]}, [None, 11, None, None, 11], ["firing 1-3", "normal 3-4", "firing 4-5"], id="vanishes"
    ),
]


@pytest.mark.parametrize(("fields", "values", "expected"), BANDS)
def test_bands_cover_the_time_a_group_is_known(fields: dict[str, Any], values: list[float | None], expected: list[str]):
    bands = simulated(fields, *values).bands

    assert [f"{b.state} {minutes(b.start)}-{minutes(b.end)}" for b in bands] == expected


def test_notices_say_who_was_told_why_and_who_was_not():
    fields = {"notify": ["mail", "chat"], "cooldown": "5m", "repeat": "6m"}

    notices = simulated(fields, 11, 1, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 1).notices

    assert [(minutes(n.time), n.alert, n.reason.value) for n in notices if n.channel == "mail"] == [
        (0, 1, "first"),
        (1, 1, "resolved"),
        (2, 2, "cooldown"),
        (5, 2, "first"),
        (11, 2, "repeat"),
        (12, 2, "resolved"),
    ]
    assert sum(n.channel == "chat" for n in notices) == 6


def test_totals_count_how_many_how_long_and_how_noisy():
    totals = simulated({"notify": ["mail"], "cooldown": "5m"}, 11, 11, 1, 11, 1, 1).totals

    assert totals == Totals(
        evaluations=6,
        groups=1,
        incidents=2,
        longest_incident_s=120.0,
        notifications=2,
        sent={"mail": 2},
        silent={"cooldown": 1},
        seconds={State.FIRING: 180, State.NORMAL: 180},
        digests={"mail": 1},
    )


@pytest.mark.parametrize(("grouping", "sent"), [(True, 2), (False, 4)])
def test_groups_that_begin_and_end_together_are_one_notification(grouping, sent):
    rule = parse({"name": "r", "when": COSTLY, "group_by": ["model"], "notify": ["mail"], "grouping": grouping})

    def series(*, by: tuple[str, ...], **_: object) -> pl.DataFrame:
        rows = [(START + n * MINUTE, model, value) for n, value in enumerate([11, 1, 1]) for model in "ab"]
        return frame(["time", *by, "value"], rows)

    made = simulate(rule, series, START, START + 3 * MINUTE)

    assert (made.totals.notifications, made.totals.sent, len(made.notices)) == (sent, {"mail": sent}, 4)


def test_values_are_those_of_every_evaluation():
    when = {"all": [COSTLY, {**COSTLY, "metric": "error_rate", "value": 3}]}

    values = simulated({"when": when, "group_by": ["model"]}, 1, None, 3).values

    assert values.rows() == [
        (START + n * MINUTE, '{"model":"a"}', path, float(value), float(threshold))
        for path, threshold in (("when.all[0]", 10), ("when.all[1]", 3))
        for n, value in ((0, 1), (2, 3))
    ]


def test_evaluations_happen_on_full_multiples_of_the_cadence():
    rule = parse({"name": "r", "when": COSTLY})

    made = simulate(rule, given_line(11, 11, 11), START + timedelta(seconds=20), START + timedelta(seconds=170))

    assert made.values["time"].to_list() == [START + MINUTE, START + 2 * MINUTE]


def test_only_the_worst_groups_are_charted_but_all_are_counted():
    world = World(1, models=tuple(f"m{n:02}" for n in range(CHARTED_GROUPS + 9)))
    rule = parse({"name": "r", "when": COSTLY, "group_by": ["model"]})

    made = replay(rule, load(rule, world.series, Grid(START, START + 30 * MINUTE, MINUTE)))

    assert made.values["group"].n_unique() == CHARTED_GROUPS
    assert made.totals.groups == CHARTED_GROUPS + 9


def test_a_history_serves_other_thresholds_and_timers():
    rule = parse({"name": "r", "when": COSTLY})
    history = load(rule, given_line(11, 21, 11), Grid(START, START + 3 * MINUTE, MINUTE))

    stricter = parse({"name": "r", "when": {**COSTLY, "value": 20}, "for": "0s"})

    assert [minutes(t.at) for t in replay(stricter, history).transitions] == [1, 2]


def test_what_two_conditions_share_is_asked_once():
    asked: list[str] = []

    def series(*, metric: str, **_: object) -> pl.DataFrame:
        asked.append(metric)
        return frame(["time", "value"], [])

    when = {"all": [COSTLY, {**COSTLY, "value": 20}, {**COSTLY, "where": {"model": "a"}}]}
    load(parse({"name": "r", "when": when}), series, Grid(START, START + MINUTE, MINUTE))

    assert asked == ["cost", "cost"]
