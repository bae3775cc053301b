"""A rule in the form says what its document says, and back."""

import pytest

from app.rule_draft import Group, Leaf, draft, new_draft, remove, written
from engine.rule import parse

COST = {"metric": "cost", "window": "1d", "op": ">", "value": 500}
ERRORS = {"metric": "error_rate", "window": "5m", "op": ">", "value": 10}


@pytest.mark.parametrize(
    "when",
    [
        {"all": [COST]},
        {"any": [COST, ERRORS]},
        {"all": [COST, {"any": [ERRORS, {"all": [COST, ERRORS]}]}]},
        {"not": {"any": [COST, ERRORS]}},
        {"not": {"all": [COST, ERRORS]}},
        {"all": [{"not": {"any": [COST]}}, ERRORS]},
    ],
    ids=["all", "any", "nested", "none", "not all", "none inside"],
)
def test_a_document_survives_the_form(when):
    document = {"name": "x", "when": when, "group_by": ["model"]}
    assert draft(document).document() == document


@pytest.mark.parametrize(
    ("when", "becomes"),
    [
        (COST, {"all": [COST]}),
        ({"not": COST}, {"not": {"any": [COST]}}),
        ({"not": {"not": {"any": [COST]}}}, {"not": {"any": [{"not": {"any": [COST]}}]}}),
    ],
    ids=["bare condition", "not one", "not not"],
)
def test_what_the_form_shows_differently_means_the_same(when, becomes):
    assert draft({"name": "x", "when": when}).document()["when"] == becomes


def test_a_new_rule_needs_only_a_name():
    made = new_draft()
    made.fields["name"] = "Cost"
    assert parse(made.document()).name == "Cost"


def test_removing_takes_out_a_node_wherever_it_is():
    inner = Group("any", [Leaf(dict(ERRORS)), Leaf(dict(COST))])
    root = Group("all", [Leaf(dict(COST)), inner])
    remove(root, inner.members[0].id)
    assert written(root) == {"all": [COST, {"any": [COST]}]}
    remove(root, inner.id)
    assert written(root) == {"all": [COST]}


@pytest.mark.parametrize(("warn", "kept"), [({"warn": 400}, True), ({}, False)], ids=["warns", "does not"])
def test_what_is_about_warnings_goes_with_the_last_of_them(warn, kept):
    fields = {"name": "x", "notify": ["ops"], "warn_severity": "low", "warn_notify": ["desk"]}
    made = draft({**fields, "when": {"all": [{**COST, **warn}, ERRORS]}})
    assert (made.warns, "warn_severity" in made.document(), "warn_notify" in made.document()) == (kept, kept, kept)
    assert parse(made.document()).severity == "medium"
