from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from engine.evaluate import MOST_GROUPS, Failure, evaluate, questions
from engine.rule import Rule, parse
from engine.state import Instance, Reason, State, step
from engine.truth import GroupTruth, Truth, group_key
from tests.engine.test_rule import CONDITION, FULL, with_condition, with_fields

AT = datetime(2026, 3, 5, 12, tzinfo=UTC)
T, F, N, E = Truth.TRUE, Truth.FALSE, Truth.NO_DATA, Truth.ERROR


def frame(metric: str, *values: float | None, model: tuple[str, ...] = ()) -> pl.DataFrame:
    columns = {"model": list(model)} if model else {}
    return pl.DataFrame({**columns, metric: pl.Series(values, dtype=pl.Float64)})


def truths(found: tuple[GroupTruth, ...]) -> dict[str, Truth]:
    return {group.labels.get("model", ""): group.truth for group in found}


def instance(model: str, held: frozenset[int] = frozenset()) -> dict[str, Instance]:
    labels = {"model": model} if model else {}
    made = Instance(labels, State.FIRING, Reason.CONDITION, since=AT, evaluated_at=AT, active_since=AT, held=held)
    return {group_key(labels): made}


def test_the_questions_are_the_conditions_windows_and_what_they_compare_with():
    asked = questions(parse(FULL), AT)

    end = AT - timedelta(seconds=30)
    day = timedelta(days=1)
    assert [(q.metrics, q.start, q.end) for q in asked] == [
        (("cost",), end - day, end),
        (("cost",), end - day, end),
        (("cost",), end - 2 * day, end - day),
        (("error_rate",), end - timedelta(minutes=5), end),
        (("latency_p95",), end - timedelta(minutes=5), end),
        (("requests",), datetime(2026, 3, 2, 5, tzinfo=UTC), end),
    ]
    assert {(q.by, q.tz) for q in asked} == {(("model",), "America/New_York")}
    assert dict(asked[4].where) == {"provider": ("openai",), "model": ("gpt-5", "gpt-5-mini")}


def test_a_comparison_goes_so_far_back():
    now, then = questions(parse(with_condition(compare={"to": "1w"})), AT)

    assert now.start - then.start == now.end - then.end == timedelta(weeks=1)


def test_an_ungrouped_rule_has_one_group_always():
    assert truths(evaluate(parse(with_condition()), [frame("cost", 11)])) == {"": T}
    assert truths(evaluate(parse(with_condition()), [frame("cost")])) == {"": F}
    assert truths(evaluate(parse(with_condition(metric="error_rate")), [frame("error_rate")])) == {"": N}


def test_every_group_an_answer_names_is_judged():
    rule = parse({**with_condition(), "group_by": ["model"]})

    found = evaluate(rule, [frame("cost", 11, 9, None, model=("b", "a", "c"))])

    assert list(truths(found).items()) == [("a", F), ("b", T), ("c", F)]


def test_a_group_that_one_answer_leaves_out_made_no_requests_there():
    members = [{**CONDITION, "window": "1d"}, {**CONDITION, "metric": "requests", "op": "<", "value": 1}]
    rule = parse(with_fields(when={"all": members}, group_by=["model"]))

    (group,) = evaluate(
        rule, [frame("cost", 11, model=("a",)), frame("requests", model=())[:0].with_columns(model=None)]
    )

    assert (group.truth, [c.value for c in group.conditions]) == (T, [11, 0])


@pytest.mark.parametrize(
    ("as_", "now", "then", "value"),
    [
        ("percent", 15.0, 10.0, 50.0),
        ("percent", 5.0, 10.0, -50.0),
        ("percent", 5.0, 0.0, None),
        ("percent", 5.0, None, None),
        ("difference", 5.0, 10.0, -5.0),
        ("difference", 5.0, 0.0, 5.0),
    ],
)
def test_a_comparison_with_nothing_is_no_data(as_: str, now: float, then: float | None, value: float | None):
    rule = parse(with_condition(compare={"to": "1d", "as": as_}))

    (group,) = evaluate(rule, [frame("cost", now), frame("cost", then)])

    assert group.value == value
    assert (group.truth is N) == (value is None)


def test_a_group_that_stopped_is_compared_with_what_it_was():
    rule = parse({**with_condition(metric="requests", op="<", value=-90, compare={"to": "1d"}), "group_by": ["model"]})

    (group,) = evaluate(
        rule, [frame("requests", model=())[:0].with_columns(model=None), frame("requests", 7, model=("a",))]
    )

    assert (group.truth, group.value) == (T, -100)


def test_a_failed_answer_is_an_error_of_every_group_that_is_known():
    rule = parse({**with_condition(), "group_by": ["model"]})

    found = evaluate(rule, [Failure("the store is away")], instance("a"))

    assert truths(found) == {"a": E}
    assert found[0].message == "the store is away"


def test_a_failed_answer_with_no_group_known_is_told_without_labels():
    (group,) = evaluate(parse({**with_condition(), "group_by": ["model"]}), [Failure("away")])

    assert (group.labels, group.truth) == ({}, E)


def test_one_failed_answer_hides_only_what_depends_on_it():
    rule = parse(with_fields(when={"any": [CONDITION, {**CONDITION, "metric": "errors"}]}))

    assert truths(evaluate(rule, [Failure("away"), frame("errors", 11)])) == {"": T}
    assert truths(evaluate(rule, [Failure("away"), frame("errors", 9)])) == {"": E}


def test_two_groups_with_the_same_labels_are_an_error():
    rule = parse({**with_condition(), "group_by": ["model"]})

    (group,) = evaluate(rule, [frame("cost", 11, 12, model=("a", "a"))], instance("a"))

    assert group.truth is E
    assert "two groups have the labels {'model': 'a'}" in group.message


def test_a_held_condition_recovers_late_and_only_where_it_is_held():
    rule = parse({**with_condition(recovery=5), "group_by": ["model"]})

    found = evaluate(rule, [frame("cost", 7, 7, model=("a", "b"))], instance("a", held=frozenset({0})))

    assert truths(found) == {"a": T, "b": F}
    assert [group.threshold for group in found] == [5, 10]


def test_only_the_condition_that_fired_is_held_under_any():
    members = [{**CONDITION, "recovery": 5}, {**CONDITION, "metric": "errors", "recovery": 5}]
    rule = parse(with_fields(when={"any": members}))
    line = [((11, 7), T), ((6, 7), T), ((5, 7), F), ((5, 11), T), ((11, 6), T), ((6, 4), T), ((4, 7), F)]

    assert played(rule, [values for values, _ in line]) == [truth for _, truth in line]


def test_recovery_holds_under_not():
    rule = parse(with_fields(when={"not": {**CONDITION, "recovery": 5}}))

    assert played(rule, [(11,), (9,), (7,), (11,), (7,)]) == [F, T, T, F, T]


def played(rule: Rule, line: list[tuple[float, ...]]) -> list[Truth]:
    known: dict[str, Instance] = {}
    seen = []
    for n, values in enumerate(line):
        answers = [frame(c.metric, value) for c, value in zip(rule.conditions, values, strict=True)]
        (group,) = evaluate(rule, answers, known)
        seen.append(group.truth)
        made = step(rule, known.get(group.key), group, AT + timedelta(minutes=n)).instance
        assert made is not None
        known = {group.key: made}
    return seen


def test_the_value_shown_is_of_the_condition_that_decided():
    members = [CONDITION, {**CONDITION, "metric": "errors", "value": 3}]
    rule = parse(with_fields(when={"any": members}))

    (group,) = evaluate(rule, [frame("cost", 1), frame("errors", 4)])

    assert (group.value, group.threshold, group.decisive.path) == (4, 3, "when.any[1]")


def test_a_thousand_groups_are_judged_and_one_more_is_a_failure_that_says_so():
    rule = parse({**with_condition(), "group_by": ["model"]})
    models = tuple(f"m{n:04}" for n in range(MOST_GROUPS + 1))

    assert len(evaluate(rule, [frame("cost", *[11.0] * MOST_GROUPS, model=models[1:])])) == MOST_GROUPS
    (group,) = evaluate(rule, [frame("cost", *[11.0] * len(models), model=models)])
    assert (group.truth, group.message) == (E, "1,001 groups are too many: at most 1,000; narrow where or group_by")


def test_known_groups_are_told_of_a_failure_when_the_groups_become_too_many():
    rule = parse({**with_condition(), "group_by": ["model"]})
    models = tuple(f"m{n:04}" for n in range(MOST_GROUPS + 1))

    found = evaluate(rule, [frame("cost", *[11.0] * len(models), model=models)], instance("m0001"))

    assert truths(found) == {"m0001": E}


@pytest.mark.parametrize(("window", "back"), [("today", "1d"), ("this_week", "7d"), ("5m", "5m")])
def test_the_window_before_a_calendar_window_is_the_same_part_of_the_period_before(window: str, back: str):
    now, then = questions(parse(with_condition(window=window, compare={"to": "previous"})), AT)
    same = questions(parse(with_condition(window=window, compare={"to": back})), AT)

    assert (now, then) == same
