"""The States section of the alerting contract, line by line, as time lines: what was true when, and the state then."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from engine.rule import Rule, parse
from engine.state import (
    Instance,
    Reason,
    State,
    Transition,
    advance,
    pause,
    reset,
    restored,
    step,
    worst,
)
from engine.truth import ConditionTruth, GroupTruth, Truth

START = datetime(2026, 1, 1, tzinfo=UTC)
T, F, N, E = Truth.TRUE, Truth.FALSE, Truth.NO_DATA, Truth.ERROR
GONE = None
Line = Sequence[tuple[int, Truth | None, str]]


def rule_with(**fields: object) -> Rule:
    when = {"metric": "cost", "window": "5m", "op": ">", "value": 10}
    return parse({"name": "r", "when": when, **fields})


def found(truth: Truth, value: float | None = 1.0) -> GroupTruth:
    condition = ConditionTruth("when", "cost", value, 10.0, truth, value)
    return GroupTruth({"model": "m"}, truth, (condition,))


def minute(n: int) -> datetime:
    return START + timedelta(minutes=n)


def play(rule: Rule, line: Line) -> tuple[list[str], list[Transition]]:
    """The states along a line, '-' where there is no instance, and the transitions."""
    instance: Instance | None = None
    states, transitions = [], []
    for at, truth, _ in line:
        made = step(rule, instance, None if truth is None else found(truth), minute(at))
        instance = made.instance
        states.append(instance.state.value if instance else "-")
        transitions += [made.transition] if made.transition else []
    return states, transitions


LINES: dict[str, tuple[dict[str, object], Line]] = {
    "for 0 fires at once": ({}, [(0, F, "normal"), (1, T, "firing"), (2, F, "normal")]),
    "for below every fires at the second evaluation": (
        {"for": "30s", "every": "60s"},
        [(0, T, "pending"), (1, T, "firing")],
    ),
    "for is counted from the first true": (
        {"for": "3m"},
        [(0, F, "normal"), (1, T, "pending"), (3, T, "pending"), (4, T, "firing"), (9, T, "firing")],
    ),
    "false while pending goes back": ({"for": "2m"}, [(0, T, "pending"), (1, F, "normal"), (2, T, "pending")]),
    "a pending interrupted starts anew": (
        {"for": "2m"},
        [(0, T, "pending"), (1, F, "normal"), (2, T, "pending"), (3, T, "pending"), (4, T, "firing")],
    ),
    "keep_firing_for delays the end": (
        {"keep_firing_for": "2m"},
        [(0, T, "firing"), (1, F, "recovering"), (2, F, "recovering"), (3, F, "normal")],
    ),
    "true again clears the recovery timer": (
        {"keep_firing_for": "2m"},
        [(0, T, "firing"), (1, F, "recovering"), (2, T, "firing"), (3, F, "recovering"), (4, F, "recovering")],
    ),
    "no data is ok": ({}, [(0, T, "firing"), (1, N, "normal")]),
    "no data is no data": (
        {"no_data": "no_data"},
        [(0, F, "normal"), (1, N, "no_data"), (2, T, "firing"), (3, N, "no_data"), (4, T, "firing"), (5, F, "normal")],
    ),
    "no data fires after for": (
        {"no_data": "firing", "for": "1m"},
        [(0, N, "pending"), (1, N, "firing"), (2, F, "normal")],
    ),
    "no data keeps": (
        {"no_data": "keep", "for": "1m"},
        [(0, N, "normal"), (1, T, "pending"), (2, N, "pending"), (3, T, "firing"), (4, N, "firing")],
    ),
    "error is an error": (
        {},
        [(0, E, "error"), (1, T, "firing"), (2, E, "error"), (3, T, "firing"), (4, E, "error"), (5, F, "normal")],
    ),
    "error while pending forgets the wait": (
        {"for": "2m"},
        [(0, T, "pending"), (1, E, "error"), (2, T, "pending"), (3, T, "pending"), (4, T, "firing")],
    ),
    "error fires": ({"on_error": "firing"}, [(0, E, "firing"), (1, F, "normal")]),
    "error keeps": ({"on_error": "keep"}, [(0, T, "firing"), (1, E, "firing"), (2, F, "normal")]),
    "an error ends no wait for the end": (
        {"keep_firing_for": "2m"},
        [(0, T, "firing"), (1, F, "recovering"), (2, E, "error"), (4, E, "error"), (5, F, "normal")],
    ),
    "holes do not begin the wait for the end anew": (
        {"keep_firing_for": "3m", "no_data": "no_data"},
        [(0, T, "firing"), (1, F, "recovering"), (2, N, "no_data"), (3, F, "recovering"), (4, F, "normal")],
    ),
    "true after a hole clears the recovery timer": (
        {"keep_firing_for": "3m"},
        [
            (0, T, "firing"),
            (1, F, "recovering"),
            (2, E, "error"),
            (3, T, "firing"),
            (4, F, "recovering"),
            (7, F, "normal"),
        ],
    ),
    "a vanished group is given up at the second evaluation": (
        {},
        [(0, T, "firing"), (1, GONE, "firing"), (2, GONE, "-"), (3, GONE, "-"), (4, T, "firing")],
    ),
    "a group that returns in time was never away": (
        {},
        [(0, T, "firing"), (1, GONE, "firing"), (2, T, "firing"), (3, GONE, "firing"), (4, GONE, "-")],
    ),
    "a vanished pending group goes silently": (
        {"for": "9m"},
        [(0, T, "pending"), (1, GONE, "pending"), (2, GONE, "-")],
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_a_time_line_gives_its_states(name: str):
    fields, line = LINES[name]

    states, _ = play(rule_with(**fields), line)

    assert states == [state for _, _, state in line]


def moves(transitions: Sequence[Transition]) -> list[tuple[str, str, str]]:
    return [(t.before.value, t.after.value, t.reason.value) for t in transitions]


@pytest.mark.parametrize(
    ("fields", "truths", "expected"),
    [
        pytest.param({}, [T], [("normal", "firing", "condition")], id="fires"),
        pytest.param(
            {"no_data": "firing"},
            [N, F],
            [("normal", "firing", "no_data"), ("firing", "normal", "condition")],
            id="no data",
        ),
        pytest.param(
            {}, [T, N], [("normal", "firing", "condition"), ("firing", "normal", "no_data")], id="no data is ok"
        ),
        pytest.param({}, [E], [("normal", "error", "error")], id="error"),
        pytest.param(
            {},
            [T, GONE, GONE],
            [("normal", "firing", "condition"), ("firing", "normal", "missing_group")],
            id="missing",
        ),
        pytest.param({}, [F, GONE, GONE], [], id="a quiet group vanishes without a word"),
    ],
)
def test_a_transition_names_its_reason(
    fields: dict[str, object], truths: list[Truth | None], expected: list[tuple[str, str, str]]
):
    _, transitions = play(rule_with(**fields), [(n, truth, "") for n, truth in enumerate(truths)])

    assert moves(transitions) == expected


def test_an_incident_opens_and_resolves_once_through_recovery_and_errors():
    line = [(0, T, ""), (1, E, ""), (2, T, ""), (3, F, ""), (4, T, ""), (5, F, ""), (6, F, ""), (7, F, "")]

    _, transitions = play(rule_with(keep_firing_for="2m"), line)

    assert [t.at for t in transitions if t.opens] == [minute(0)]
    assert [t.at for t in transitions if t.resolves] == [minute(7)]


def test_a_pending_instance_goes_back_silently():
    _, transitions = play(rule_with(**{"for": "5m"}), [(0, T, ""), (1, F, "")])

    assert not any(t.opens or t.resolves for t in transitions)


def fire(rule: Rule, at: int = 0) -> Instance:
    instance = step(rule, None, found(T), minute(at)).instance
    assert instance is not None
    return instance


def test_raising_for_above_the_elapsed_time_sends_a_firing_instance_back_to_pending():
    firing = fire(rule_with())

    made = step(rule_with(**{"for": "10m"}), firing, found(T), minute(5))
    later = step(rule_with(**{"for": "10m"}), made.instance, found(T), minute(10))

    assert made.transition is not None
    assert (made.transition.after, made.transition.reason) == (State.PENDING, Reason.UPDATED)
    assert made.transition.resolves
    assert later.instance is not None
    assert later.instance.state is State.FIRING


def test_raising_for_below_the_elapsed_time_changes_nothing():
    made = step(rule_with(**{"for": "3m"}), fire(rule_with()), found(T), minute(5))

    assert made.transition is None


def test_an_edit_resets_and_ends_the_incident():
    made = reset(fire(rule_with()), Reason.UPDATED, minute(3))

    assert made.instance is not None
    assert (made.instance.state, made.instance.active_since, made.instance.held) == (State.NORMAL, None, frozenset())
    assert made.transition is not None
    assert (made.transition.reason, made.transition.resolves) == (Reason.UPDATED, True)


def test_resetting_a_quiet_instance_is_no_transition():
    quiet = step(rule_with(), None, found(F), minute(0)).instance
    assert quiet is not None

    assert reset(quiet, Reason.UPDATED, minute(1)).transition is None


def test_a_paused_instance_stays_paused_whatever_is_true():
    rule = rule_with()
    paused = pause(fire(rule), minute(1))

    assert paused.transition is not None
    assert paused.transition.resolves
    assert step(rule, paused.instance, found(T), minute(2)).instance == paused.instance
    assert step(rule, paused.instance, None, minute(3)).instance == paused.instance


def test_pending_time_does_not_run_while_nobody_watches():
    rule = rule_with(**{"for": "5m"})
    pending = fire(rule)

    back = restored(pending, timedelta(minutes=30))

    assert back.reason is Reason.RESTORED
    assert step(rule, back, found(T), minute(34)).transition is None
    assert step(rule, back, found(T), minute(35)).transition is not None


def test_after_more_than_an_hour_pending_starts_anew():
    rule = rule_with(**{"for": "5m"})
    back = restored(fire(rule), timedelta(minutes=61))

    again = step(rule, back, found(T), minute(100)).instance

    assert again is not None
    assert (again.state, again.active_since) == (State.PENDING, minute(100))


def test_what_is_pending_since_before_a_gap_says_so_until_it_changes_and_so_does_its_transition():
    rule = rule_with(**{"for": "5m"})
    back = restored(fire(rule), timedelta(minutes=30))

    still = step(rule, back, found(T), minute(32)).instance
    again = step(rule, still, found(T), minute(33)).instance
    fired = step(rule, again, found(T), minute(35))
    over = step(rule, again, found(F), minute(34))

    assert [(one.state, one.reason) for one in (still, again)] == [(State.PENDING, Reason.RESTORED)] * 2
    assert (fired.instance.state, fired.instance.reason) == (State.FIRING, Reason.CONDITION)
    assert (fired.transition.after, fired.transition.reason) == (State.FIRING, Reason.RESTORED)
    assert (over.transition.after, over.transition.reason) == (State.NORMAL, Reason.CONDITION)


def test_firing_stays_firing_over_a_restart_until_an_evaluation_says_otherwise():
    firing = fire(rule_with())

    assert restored(firing, timedelta(days=2)) == firing


def test_since_changes_with_the_state_and_value_with_every_evaluation():
    rule = rule_with()
    later = step(rule, fire(rule), found(T, 42.0), minute(9)).instance

    assert later is not None
    assert (later.since, later.value, later.evaluated_at) == (minute(0), 42.0, minute(9))


def test_advance_steps_known_new_and_vanished_groups():
    rule = rule_with()
    here = GroupTruth({"model": "here"}, T, found(T).conditions)
    gone = step(rule, None, GroupTruth({"model": "gone"}, T, found(T).conditions), minute(0)).instance
    assert gone is not None

    made = advance(rule, {'{"model":"gone"}': gone}, [here], minute(1))

    assert {key: s.instance and s.instance.missing_evaluations for key, s in made.items()} == {
        '{"model":"gone"}': 1,
        '{"model":"here"}': 0,
    }


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], State.NORMAL),
        ([State.NORMAL, State.PENDING], State.PENDING),
        ([State.ERROR, State.FIRING, State.NO_DATA], State.FIRING),
        ([State.PAUSED, State.NORMAL], State.NORMAL),
        ([State.PAUSED], State.PAUSED),
    ],
)
def test_a_rule_shows_its_worst_instance(states: list[State], expected: State):
    assert worst(states) is expected
