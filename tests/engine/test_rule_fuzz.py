"""Whatever is written, the answer is a rule or a list of faults."""

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import Fault, RuleError
from engine.rule import document, parse
from engine.sentence import sentence
from tests.engine.test_rule import FULL

WORDS = st.sampled_from(
    [
        "all",
        "any",
        "not",
        "metric",
        "cost",
        "5m",
        "today",
        ">",
        "when",
        "model",
        "tag:x",
        "1w",
        "previous",
        "",
        "mon-fri",
    ]
)
SCALARS = st.one_of(
    WORDS, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(), st.just(10**400)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(WORDS, st.integers(), st.none(), st.text(max_size=5)), inner, max_size=3),
    ),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document, as the keys that lead there."""
    found = [path] if path else []
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [place for key, child in children for place in places(child, (*path, key))]


PLACES = places(yaml.safe_load(FULL))


def put(value: Any, path: tuple[Any, ...], new: Any) -> None:
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


def faults_of(source: Any) -> tuple[Fault, ...]:
    try:
        rule = parse(source)
    except RuleError as error:
        return error.faults
    assert parse(document(rule)) == rule
    assert sentence(rule)
    return ()


def survives(source: Any) -> None:
    assert all(fault.message and len(fault.message) <= 300 for fault in faults_of(source))


@settings(max_examples=400, deadline=None)
@given(place=st.sampled_from(PLACES), new=VALUES)
def test_anything_in_any_place_is_a_rule_or_a_fault(place: tuple[Any, ...], new: Any):
    source = yaml.safe_load(FULL)
    put(source, place, new)

    survives(source)


@settings(max_examples=200, deadline=None)
@given(source=st.dictionaries(st.one_of(WORDS, st.integers()), VALUES))
def test_any_object_is_a_rule_or_a_fault(source: dict[Any, Any]):
    survives(source)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(FULL)), text=st.text(max_size=5), cut=st.integers(0, 5))
def test_any_slip_in_the_text_is_a_rule_or_a_fault(at: int, text: str, cut: int):
    survives(FULL[:at] + text + FULL[at + cut :])
