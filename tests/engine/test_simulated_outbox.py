from datetime import UTC, datetime, timedelta

import pytest

import engine.simulated_outbox
from engine.bucket import Limit
from engine.history import Grid
from engine.rule import parse
from engine.simulated_notices import said
from engine.state import Reason, State, Transition
from engine.surroundings import Surroundings
from tests.engine.traffic import COSTLY

START, MINUTE = datetime(2026, 3, 1, tzinfo=UTC), timedelta(minutes=1)
GRID = Grid(START, START + 600 * MINUTE, MINUTE)
RULE = parse({**COSTLY, "group_by": ["model"], "every": "60s", "cooldown": "6h", "notify": ["one"]})


def coming_and_going(number):
    """One group's transitions: an incident of ten minutes every forty."""
    labels = {"model": f"m{number}"}
    states = [State.NORMAL, State.FIRING]
    for minute in range(number % 7, 600, 20):
        before, after = states
        opens = after is State.FIRING
        yield Transition(START + minute * MINUTE, labels, before, after, Reason.CONDITION, 2.0, 1.0, opens, not opens)
        states.reverse()


@pytest.fixture
def built(monkeypatch):
    made = []
    real = engine.simulated_outbox.Waiting
    monkeypatch.setattr(engine.simulated_outbox, "Waiting", lambda *args: made.append(args) or real(*args))
    return made


def test_what_is_held_back_is_looked_through_once_and_not_at_every_instant(built):
    walks = [({"model": f"m{number}"}, list(coming_and_going(number))) for number in range(8)]
    made = said(RULE, GRID, walks, Surroundings("r", limits={"one": Limit(0.05, 1)}))
    held = [notice for notice in made.notices if notice.held]
    assert made.digests
    assert len(built) == len(held) > 20
