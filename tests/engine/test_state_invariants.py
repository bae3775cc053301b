"""What holds of the state machine along any line of truths, under any policy."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.rule import Rule
from engine.state import Instance, Reason, State, Step, pause, reset, restored, step
from engine.truth import Truth
from tests.engine.test_state import found, minute, rule_with

LENGTHS = st.sampled_from(["0s", "30s", "1m", "3m", "10m"])
RULES = st.fixed_dictionaries(
    {
        "for": LENGTHS,
        "keep_firing_for": LENGTHS,
        "no_data": st.sampled_from(["ok", "no_data", "firing", "keep"]),
        "on_error": st.sampled_from(["error", "firing", "keep"]),
    }
).map(lambda fields: rule_with(**fields))
MOVES = st.sampled_from([*Truth, None, "pause", "reset", "restore"])
LINES = st.lists(st.tuples(st.integers(1, 6), MOVES), max_size=40)
#: Long ones, minute by minute, in which nothing but the truth changes.
COURSES = st.lists(st.tuples(st.just(1), st.sampled_from(Truth)), min_size=15, max_size=30)


def walk(rule: Rule, line: list[tuple[int, Any]]) -> list[tuple[int, Any, Instance | None, Step]]:
    """Every step of a line: its minute, what happened, the instance before and the step."""
    steps, instance, at = [], None, 0
    for wait, move in line:
        at += wait
        made = moved(rule, instance, move, at)
        steps.append((at, move, instance, made))
        instance = made.instance
    return steps


def moved(rule: Rule, instance: Instance | None, move: Any, at: int) -> Step:
    if move is None or isinstance(move, Truth):
        return step(rule, instance, None if move is None else found(move), minute(at))
    if instance is None:
        return Step(None, None)
    if move == "pause":
        return pause(instance, minute(at))
    if move == "reset":
        return reset(instance, Reason.UPDATED, minute(at))
    return Step(restored(instance, minute(at) - instance.evaluated_at), None)


@given(rule=RULES, line=LINES)
def test_incidents_open_and_resolve_in_turn(rule: Rule, line: list[tuple[int, Any]]):
    is_open = False
    for _, _, _, made in walk(rule, line):
        if made.transition:
            assert not (made.transition.opens and is_open)
            assert not (made.transition.resolves and not is_open)
            is_open = (is_open or made.transition.opens) and not made.transition.resolves
        assert bool(made.instance and made.instance.alerting) == is_open


@given(rule=RULES, line=LINES)
def test_a_transition_is_every_change_of_state_and_nothing_else(rule: Rule, line: list[tuple[int, Any]]):
    for _, _, before, made in walk(rule, line):
        old = before.state if before else State.NORMAL
        new = made.instance.state if made.instance else State.NORMAL
        assert (made.transition is not None) == (old is not new)
        if made.transition:
            assert (made.transition.before, made.transition.after) == (old, new)


@given(rule=RULES, line=LINES)
def test_timers_run_only_where_they_mean_something(rule: Rule, line: list[tuple[int, Any]]):
    for at, move, _, made in walk(rule, line):
        after = made.instance
        if after is None:
            continue
        starts_anew = move == "restore" and after.state is State.PENDING
        assert (after.active_since is not None) == (after.alerting or after.state is State.PENDING) or starts_anew
        waits_for_the_end = after.recovering_since is not None
        assert waits_for_the_end or after.state is not State.RECOVERING
        assert not waits_for_the_end or (after.alerting and after.state is not State.FIRING)
        assert after.since <= minute(at)


@given(rule=RULES, line=LINES)
def test_nothing_fires_before_it_was_true_for_as_long_as_the_rule_says(rule: Rule, line: list[tuple[int, Any]]):
    for at, _, before, made in walk(rule, line):
        if made.transition and made.transition.opens:
            since = before.active_since if before and before.active_since else minute(at)
            assert minute(at) - since >= rule.for_


@given(rule=RULES, line=COURSES)
def test_a_wait_for_the_end_begins_with_a_false_and_only_a_true_or_an_end_clears_it(
    rule: Rule, line: list[tuple[int, Any]]
):
    for at, _, before, made in walk(rule, line):
        after = made.instance
        if after is None or after.state is State.FIRING or not after.alerting:
            continue
        if before and before.recovering_since:
            assert after.recovering_since == before.recovering_since
        elif after.recovering_since:
            assert (after.state, after.recovering_since) == (State.RECOVERING, minute(at))


@given(rule=RULES, line=COURSES)
def test_an_incident_is_over_at_the_first_false_after_the_wait_for_its_end(rule: Rule, line: list[tuple[int, Any]]):
    for at, move, before, made in walk(rule, line):
        if move is Truth.FALSE and before and before.recovering_since:
            over = minute(at) - before.recovering_since >= rule.keep_firing_for
            assert made.instance is not None
            assert made.instance.alerting is not over


@given(rule=RULES, line=LINES)
def test_an_evaluation_at_the_same_instant_changes_nothing_more(rule: Rule, line: list[tuple[int, Any]]):
    for at, move, _, made in walk(rule, line):
        if isinstance(move, Truth):
            assert step(rule, made.instance, found(move), minute(at)) == Step(made.instance, None)
