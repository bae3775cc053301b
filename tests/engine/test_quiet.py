from datetime import UTC, datetime, timedelta

import pytest

from engine.inhibition import Source, Subject
from engine.policies import Inhibition
from engine.quiet import Inhibiting, Quiet
from engine.silences import Silence
from engine.surroundings import Recorded

START = datetime(2026, 3, 1, tzinfo=UTC)
TARGET = Subject("t", "{}", {"rule": "target", "model": "a"})


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def silence(first: int, last: int, **matchers: str) -> Silence:
    return Silence("", matchers, at(first), at(last), "", "", START)


def recorded(first: int, last: int | None, model: str = "a") -> Recorded:
    inhibits = (Inhibition(match={"rule": ("target",)}, equal=("model",)),)
    source = Source(Subject("s", model, {"model": model}), inhibits, at(first))
    return Recorded(source, None if last is None else at(last))


def around(*silences: Silence, worse=(), inhibiting=()) -> Quiet:
    return Quiet.around(TARGET, silences, worse, Inhibiting(inhibiting))


def test_a_silence_counts_from_its_start_until_just_before_its_end():
    quiet = around(silence(2, 4, model="a"), silence(0, 9, model="b"))
    assert [minute for minute in range(6) if quiet.silenced(at(minute))] == [2, 3]
    assert [quiet.next_change(at(minute)) for minute in (0, 2, 4)] == [at(2), at(4), None]


@pytest.mark.parametrize(
    ("kept", "minutes"),
    [
        pytest.param({"worse": [(at(1), at(3)), (at(4), None)]}, [1, 2, 4, 5], id="its worse level"),
        pytest.param({"inhibiting": [recorded(1, 3), recorded(2, 4)]}, [1, 2, 3], id="others' incidents"),
        pytest.param({"inhibiting": [recorded(1, None, model="b")]}, [], id="one that is about something else"),
        pytest.param({"inhibiting": [recorded(4, None)]}, [4, 5], id="one that is open still"),
    ],
)
def test_it_is_inhibited_while_something_else_is_open(kept, minutes):
    quiet = around(**kept)
    assert [minute for minute in range(6) if quiet.inhibited(at(minute))] == minutes
