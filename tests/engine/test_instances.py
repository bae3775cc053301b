from datetime import timedelta

import pytest
from msgspec.structs import replace

from data.queries import alerts
from data.queries.alerts import Changes, committing
from engine import instances
from engine.state import Instance, Reason, State
from engine.tick import tick
from tests.engine.traffic import MINUTE, NOON, SECOND, rows, spend, watch

STORED = Instance(
    {"model": "opus"},
    State.FIRING,
    Reason.CONDITION,
    since=NOON,
    evaluated_at=NOON,
    active_since=NOON - MINUTE,
    value=2.0,
    threshold=1.0,
    held=frozenset({2, 0}),
    alert_id="a-1",
)
LATER = replace(STORED, evaluated_at=NOON + MINUTE, value=3.0, threshold=None)


def test_while_only_the_value_moves_little_is_written():
    assert set(instances.moved("r", STORED, LATER)) == {
        *("rule_id", "group_key", "was_state", "was_evaluated_at"),
        *("value", "threshold", "evaluated_at"),
    }


@pytest.mark.parametrize(
    "change",
    [
        {"state": State.RECOVERING},
        {"reason": Reason.NO_DATA},
        {"since": NOON + MINUTE},
        {"active_since": None},
        {"recovering_since": NOON},
        {"missing_evaluations": 1},
        {"held": frozenset()},
        {"alert_id": ""},
    ],
    ids=str,
)
def test_any_other_change_writes_the_whole_row(change):
    after = replace(LATER, **change)
    assert instances.to_row("r", after).items() <= instances.moved("r", STORED, after).items()


def test_rows_that_move_little_and_rows_that_move_much_are_written_together(store):
    other = replace(
        STORED, labels={"model": "sonnet"}, held=frozenset(), recovering_since=NOON + timedelta(microseconds=1)
    )
    before = (STORED, other)
    store.transact(committing([Changes(appeared=tuple(instances.to_row("r", one) for one in before))]))
    after = (LATER, replace(other, state=State.NORMAL, evaluated_at=NOON + MINUTE, alert_id=""))
    moved = tuple(instances.moved("r", *pair) for pair in zip(before, after, strict=True))

    store.transact(committing([Changes(moved=moved)]))

    found = instances.from_rows(alerts.instances(store, ["r"]))["r"]
    assert tuple(found.values()) == after


def test_a_value_is_not_written_over_a_row_that_was_evaluated_meanwhile(store, monkeypatch):
    rule = watch(store)
    spend(store, NOON - SECOND, "0.5")
    tick(store, [rule], NOON)
    read = alerts.instances

    def read_then_lose_the_race(*args):
        found = read(*args)
        monkeypatch.setattr(alerts, "instances", read)
        tick(store, [rule], NOON + 2 * MINUTE)
        return found

    monkeypatch.setattr(alerts, "instances", read_then_lose_the_race)
    assert tick(store, [rule], NOON + MINUTE).conflicted == (rule.id,)
    assert rows(store, "alert_instances", "evaluated_at") == [(NOON + 2 * MINUTE,)]
