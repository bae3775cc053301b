from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.condition import Node
from engine.rule import parse
from engine.truth import Truth, all_of, any_of, compose, group_key, judge, negated, threshold
from tests.engine.test_rule import CONDITION, with_condition, with_fields

T, F, N, E = Truth.TRUE, Truth.FALSE, Truth.NO_DATA, Truth.ERROR


@pytest.mark.parametrize(
    ("truths", "every", "some"),
    [
        ([T, T], T, T),
        ([T, F], F, T),
        ([F, F], F, F),
        ([T, N], N, T),
        ([F, N], F, N),
        ([N, N], N, N),
        ([T, E], E, T),
        ([F, E], F, E),
        ([N, E], N, E),
        ([T, F, N, E], F, T),
        ([T], T, T),
    ],
)
def test_all_is_the_mildest_and_any_the_most_severe(truths: list[Truth], every: Truth, some: Truth):
    assert (all_of(truths), any_of(truths)) == (every, some)


@pytest.mark.parametrize(("truth", "opposite"), [(T, F), (F, T), (N, N), (E, E)])
def test_not_leaves_holes_alone(truth: Truth, opposite: Truth):
    assert negated(truth) is opposite


def tree(node: dict[str, object]) -> Node:
    return parse(with_fields(when=node)).when


TREES = st.recursive(
    st.just(CONDITION),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=5,
)


@given(node=TREES, data=st.data())
def test_what_a_hole_hides_never_changes_what_was_concluded(node: dict[str, object], data: st.DataObject):
    rule = parse(with_fields(when=node))
    leaves = data.draw(
        st.lists(st.sampled_from(list(Truth)), min_size=len(rule.conditions), max_size=len(rule.conditions))
    )

    concluded = compose(rule.when, leaves)

    filled = product(*([leaf] if leaf in (T, F) else [T, F] for leaf in leaves))
    if concluded in (T, F):
        assert {compose(rule.when, list(possible)) for possible in filled} == {concluded}
    else:
        assert any(leaf in (N, E) for leaf in leaves)


def test_leaves_are_taken_in_document_order():
    when = tree({"all": [CONDITION, {"any": [CONDITION, {"not": CONDITION}]}, CONDITION]})

    assert compose(when, [T, F, F, T]) is T
    assert compose(when, [T, F, T, T]) is F
    assert compose(when, [T, T, T, N]) is N


@pytest.mark.parametrize(
    ("op", "below", "equal", "above"),
    [
        (">", F, F, T),
        (">=", F, T, T),
        ("<", T, F, F),
        ("<=", T, T, F),
        ("==", F, T, F),
        ("!=", T, F, T),
        ("=", F, T, F),
    ],
)
def test_ops_compare_with_the_threshold(op: str, below: Truth, equal: Truth, above: Truth):
    condition = parse(with_condition(op=op)).conditions[0]

    assert [judge(condition, value, held=False) for value in (9, 10, 11)] == [below, equal, above]


@pytest.mark.parametrize("value", [None, float("nan")])
def test_no_value_is_no_data(value: float | None):
    assert judge(parse(with_condition()).conditions[0], value, held=False) is N


@pytest.mark.parametrize(
    ("op", "recovery", "line"),
    [(">", 5, [(11, T), (6, T), (5, F)]), (">=", 5, [(10, T), (5, T), (4, F)]), ("<", 15, [(9, T), (14, T), (15, F)])],
)
def test_a_held_condition_stays_true_until_its_recovery_threshold(
    op: str, recovery: float, line: list[tuple[float, Truth]]
):
    condition = parse(with_condition(op=op, recovery=recovery)).conditions[0]

    assert [judge(condition, value, held=True) for value, _ in line] == [truth for _, truth in line]
    assert (threshold(condition, held=True), threshold(condition, held=False)) == (recovery, 10)


def test_a_groups_key_does_not_depend_on_the_order_of_its_labels():
    assert group_key({"b": "2", "a": 'x"y'}) == group_key({"a": 'x"y', "b": "2"}) == '{"a":"x\\"y","b":"2"}'
    assert group_key({}) == "{}"
