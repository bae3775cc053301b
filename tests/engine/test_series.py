"""The simulator over the real ledger says what the live engine says over the same ledger."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from data.client import FlightStore
from data.queries.limits import LimitRow, keeping
from data.query import answers
from data.records import record_table
from engine import evaluate as evaluation
from engine import ledger as simulation
from engine.errors import Refused
from engine.evaluate import evaluate, questions
from engine.history import Grid, load
from engine.ledger import simulate as ledger_simulation
from engine.rule import Rule, parse
from engine.series import stored
from engine.simulate import replay, simulate
from engine.state import Instance, Transition, advance
from tests.data.ledger import NOON, record

MINUTE = timedelta(minutes=1)
LENGTH = 40


@pytest.fixture
def ledger(store: FlightStore) -> FlightStore:
    """Requests in bursts, with pauses in which groups vanish."""
    ends = [(n, NOON + timedelta(seconds=37 * n)) for n in range(60) if n // 7 % 3]
    rows = [record(n, at=end) for n, end in ends]
    store.put(record_table(rows), spool_id="test", first=1, last=len(rows))
    store.transact([keeping([_limit(n, end) for n, end in ends])])
    return store


def _limit(n: int, at: datetime) -> LimitRow:
    """A reading as full as it likes, that counts for some minutes or until the next one."""
    place = {"proxy": "p", "provider": ("anthropic", "openai")[n % 2], "credential": "", "limit": "tokens"}
    times = {"minute": at.replace(second=0, microsecond=0), "at": at, "reset_at": at + n % 5 * MINUTE}
    return LimitRow(**place, **times, used_percent=n * 37 % 101, remaining=1.0, most=2.0)


def driven(rule: Rule, store: FlightStore, grid: Grid) -> list[Transition]:
    instances: dict[str, Instance] = {}
    transitions = []
    for tick in range(len(grid)):
        now = grid.at(tick)
        made = advance(rule, instances, evaluate(rule, answers(store, questions(rule, now)), instances), now)
        instances = {key: s.instance for key, s in made.items() if s.instance}
        transitions += [s.transition for s in made.values() if s.transition]
    return transitions


COST = {"metric": "cost", "window": "5m", "op": ">", "value": 0.1}
RULES: dict[str, dict[str, Any]] = {
    "one condition": {"when": COST, "for": "2m"},
    "groups that vanish": {"when": {**COST, "recovery": 0.02}, "group_by": ["model"], "keep_firing_for": "1m"},
    "every kind of metric": {
        "when": {
            "any": [
                {"all": [COST, {"metric": "latency_p95", "window": "10m", "op": ">", "value": 60_000}]},
                {"metric": "error_rate", "window": "3m", "op": ">", "value": 60},
                {"not": {"metric": "active_keys", "window": "2m", "op": ">=", "value": 1}},
                {"metric": "ledger_lag", "window": "30m", "op": ">", "value": 100},
                {"metric": "spend_rate", "window": "3m", "op": ">", "value": 4},
            ]
        },
    },
    "a comparison, late": {
        "when": {"metric": "requests", "window": "5m", "op": "<", "value": -30, "compare": {"to": "previous"}},
        "group_by": ["key", "tag:branch"],
        "delay": "60s",
    },
    "the day so far": {"when": {**COST, "window": "today", "value": 0.8}, "tz": "America/St_Johns"},
    "a provider's limit": {
        "when": {"metric": "provider_limit_used", "window": "2m", "op": ">", "value": 80, "recovery": 40},
        "group_by": ["provider"],
        "for": "1m",
    },
    "a provider's limit beside requests": {
        "when": {
            "all": [
                {"metric": "provider_limit_used", "window": "5m", "op": ">", "value": 60},
                {"metric": "requests", "window": "5m", "op": ">", "value": 1},
            ]
        },
        "where": {"provider": ["anthropic", "openai"]},
        "no_data": "keep",
    },
    "no data fires": {"when": {**COST, "metric": "cost_per_request"}, "where": {"team": "team-1"}, "no_data": "firing"},
}


@pytest.mark.parametrize("name", RULES)
def test_simulated_is_live_over_the_same_ledger(ledger: FlightStore, name: str):
    rule = parse({"name": name, **RULES[name]})
    grid = Grid(NOON - 5 * MINUTE, NOON + LENGTH * MINUTE, MINUTE)

    simulated = replay(rule, load(rule, stored(ledger), grid))

    expected = driven(rule, ledger, grid)
    assert expected
    assert sorted(simulated.transitions, key=repr) == sorted(expected, key=repr)


def test_an_empty_stretch_is_simulated_to_nothing(ledger: FlightStore):
    rule = parse({"name": "r", "when": COST, "group_by": ["model"]})

    simulated = simulate(rule, stored(ledger), NOON - timedelta(days=2), NOON - timedelta(days=1))

    assert (simulated.transitions, simulated.bands, simulated.notices, len(simulated.values)) == ((), (), (), 0)
    assert (simulated.totals.evaluations, simulated.totals.groups) == (1440, 0)


def test_a_rule_with_too_many_groups_is_refused_as_it_would_be_live(store, monkeypatch):
    rows = [record(n, at=NOON + timedelta(seconds=n), session=f"s{n}") for n in range(1, 5)]
    store.put(record_table(rows), spool_id="test", first=1, last=len(rows))
    rule = parse(
        {"name": "r", "group_by": ["session"], "when": {"metric": "requests", "window": "1h", "op": ">", "value": 0}}
    )
    assert ledger_simulation(store, rule, NOON, NOON + 2 * MINUTE).totals.groups == 4
    for module in (evaluation, simulation):
        monkeypatch.setattr(module, "MOST_GROUPS", 3)
    with pytest.raises(Refused, match="4 groups are too many"):
        ledger_simulation(store, rule, NOON, NOON + 2 * MINUTE)
