"""A place that keeps failing is left alone, and tried again with one call."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.route_config import BreakerConfig
from proxy.breaker import MAX_PLACES, Breaker, Place, State

CONFIG = BreakerConfig(failures=3, window_s=10, open_s=5)
PLACE = Place("anthropic", "claude", "anthropic#1")
OTHER = Place("anthropic", "claude", "anthropic#2")
EVENTS = ["failed", "succeeded", "began", "released", "rest"]


def tripped(at: float = 0.0) -> Breaker:
    breaker = Breaker(CONFIG)
    for _ in range(CONFIG.failures):
        breaker.failed(PLACE, at)
    return breaker


def test_failures_close_together_open_the_circuit():
    breaker = Breaker(CONFIG)
    for at in (0, 1):
        breaker.failed(PLACE, at)
        assert breaker.allows(PLACE, at)
    breaker.failed(PLACE, 2)
    assert breaker.state(PLACE, 2) is State.OPEN
    assert not breaker.allows(PLACE, 6.9)


def test_failures_far_apart_do_not():
    breaker = Breaker(CONFIG)
    for at in range(0, 100, 6):
        breaker.failed(PLACE, at)
        assert breaker.allows(PLACE, at)


def test_a_success_forgets_the_failures_before_it():
    breaker = Breaker(CONFIG)
    for _ in range(10):
        breaker.failed(PLACE, 0)
        breaker.failed(PLACE, 0)
        breaker.succeeded(PLACE, 0)
    assert breaker.state(PLACE, 0) is State.CLOSED


def test_other_places_are_not_concerned():
    assert tripped().allows(OTHER, 0)


def test_after_a_while_one_call_tries_it():
    breaker = tripped()
    assert breaker.state(PLACE, 5) is State.HALF_OPEN
    assert breaker.allows(PLACE, 5)
    breaker.began(PLACE, 5)
    assert not breaker.allows(PLACE, 5)


def test_a_probe_that_succeeds_closes_the_circuit():
    breaker = tripped()
    breaker.began(PLACE, 5)
    breaker.succeeded(PLACE, 5)
    assert breaker.state(PLACE, 5) is State.CLOSED


def test_a_probe_that_fails_opens_it_again():
    breaker = tripped()
    breaker.began(PLACE, 5)
    breaker.failed(PLACE, 6)
    assert not breaker.allows(PLACE, 10.9)
    assert breaker.allows(PLACE, 11)


def test_a_probe_that_never_reports_does_not_block_for_ever():
    breaker = tripped()
    breaker.began(PLACE, 5)
    assert breaker.allows(PLACE, 10)


def test_a_place_that_asks_for_a_pause_is_not_taken_for_broken():
    breaker = Breaker(CONFIG)
    breaker.rest(PLACE, 30)
    assert not breaker.allows(PLACE, 29)
    assert breaker.state(PLACE, 29) is State.CLOSED
    assert breaker.allows(PLACE, 30)


def test_the_shorter_of_two_pauses_does_not_end_the_longer():
    breaker = Breaker(CONFIG)
    breaker.rest(PLACE, 30)
    breaker.rest(PLACE, 10)
    assert breaker.rests_until(PLACE) == 30


@pytest.mark.parametrize("broken", [False, True], ids=["well", "broken"])
def test_a_call_that_ends_well_does_not_end_the_pause_that_another_was_asked_for(*, broken: bool):
    breaker = tripped() if broken else Breaker(CONFIG)
    breaker.rest(PLACE, 30)
    breaker.succeeded(PLACE, 10)
    assert not breaker.allows(PLACE, 29)
    assert breaker.state(PLACE, 29) is State.CLOSED
    assert breaker.allows(PLACE, 30)
    breaker.succeeded(PLACE, 30)
    assert breaker.snapshot(30) == {}


def test_a_probe_that_reached_nobody_leaves_the_next_call_to_be_one():
    breaker = tripped()
    assert breaker.began(PLACE, 5)
    breaker.released(PLACE)
    assert breaker.state(PLACE, 5) is State.HALF_OPEN
    assert breaker.allows(PLACE, 5)


def test_only_a_call_to_a_place_in_trouble_is_a_probe():
    assert not Breaker(CONFIG).began(PLACE, 5)
    breaker = tripped()
    breaker.released(PLACE)
    assert not breaker.allows(PLACE, 4)


def test_what_is_shown():
    breaker = tripped()
    breaker.rest(OTHER, 8)
    assert breaker.snapshot(2) == {
        PLACE: {"state": State.OPEN, "failures": 0, "asked_again_in_s": 3.0},
        OTHER: {"state": State.CLOSED, "failures": 0, "asked_again_in_s": 6.0},
    }


def test_names_of_models_without_end_are_forgotten():
    breaker = Breaker(CONFIG)
    for number in range(MAX_PLACES + 10):
        breaker.failed(Place("a", str(number), ""), 0)
    assert len(breaker.snapshot(0)) == MAX_PLACES


@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.floats(0, 3)), max_size=60))
def test_a_place_left_alone_is_always_asked_again(events: list[tuple[str, float]]):
    breaker, now = Breaker(CONFIG), 0.0
    for event, pause in events:
        now += pause
        match event:
            case "released":
                breaker.released(PLACE)
            case "rest":
                breaker.rest(PLACE, now + pause)
            case _:
                getattr(breaker, event)(PLACE, now)
        assert breaker.rests_until(PLACE) <= now + max(CONFIG.open_s, 3)
