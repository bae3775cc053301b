"""The library: every template is a rule, says what it is, and has a scenario in which it fires and one in which not."""

import re
from pathlib import Path

import pytest

from engine import rule_templates, wording
from engine.errors import NotFound, RuleError
from engine.rule import document, parse
from engine.rule_templates import Template
from engine.scenario import read_file
from engine.scenario_run import checks, replayed
from engine.state import State

FOLDER = Path(__file__).parent / "library"
EVERY = [pytest.param(template, id=template.name) for template in rule_templates.every()]
CATEGORIES = {"budgets", "cost", "efficiency", "errors", "latency", "ledger", "limits", "traffic"}


def test_there_are_templates_for_all_that_usually_goes_wrong():
    assert len(EVERY) >= 20
    assert {template.category for template in rule_templates.every()} == CATEGORIES


@pytest.mark.parametrize("template", EVERY)
def test_a_template_is_a_rule_and_says_what_and_why(template: Template):
    rule = template.example()

    assert parse(document(rule)) == rule
    assert rule.notify == ("in-app",)
    assert "$" not in rule.name.replace("$1", "").replace("$2", "")
    assert template.sentence().endswith(".")
    assert all(text.endswith(".") for text in (template.description, template.why))
    assert all(parameter.text and not parameter.text.endswith(".") for parameter in template.parameters.values())
    assert all(p.example is not None for p in template.parameters.values() if p.required)


@pytest.mark.parametrize(
    "template", [one for one in rule_templates.every() if "message" in one.rule], ids=lambda one: one.name
)
def test_a_message_names_only_what_there_is(template: Template):
    rule = template.example()
    labels = dict.fromkeys(rule.group_by, "x")

    text, flaw = wording.message(rule.message, wording.values_of(rule, wording.measured(rule, None), labels, "firing"))

    assert flaw == ""
    assert "{" not in text


@pytest.mark.parametrize("template", EVERY)
def test_a_template_fires_and_stays_quiet_in_its_scenarios(template: Template):
    scenarios = read_file(FOLDER / f"{template.name}.yaml")

    for scenario in scenarios:
        assert [check for check in checks(scenario, replayed(scenario)) if not check.passed] == []
    expected = {one.state for scenario in scenarios for one in scenario.expect}
    assert {State.FIRING, State.NORMAL} <= expected


def test_every_scenario_is_of_its_template():
    assert {path.stem for path in FOLDER.iterdir()} == {template.name for template in rule_templates.every()}
    for path in FOLDER.iterdir():
        assert path.read_text().count("template: ") == path.read_text().count(f"template: {path.stem}\n")


def test_parameters_are_put_where_they_belong():
    rule = rule_templates.get("cache-hit-drop").made({"points": 30, "channels": ["mail"], "name": "Cache"})
    assert (rule.name, rule.notify, rule.conditions[0].value) == ("Cache", ("mail",), -30)
    assert rule_templates.get("daily-spend").made({"amount": 50}).name == "Spent more than $50 today"
    used = rule_templates.get("budget-used")
    assert used.made({}).conditions[0].where == {}
    assert used.made({"budget": "core"}).conditions[0].where == {"budget": ("core",)}


@pytest.mark.parametrize(
    ("name", "values", "path", "message"),
    [
        ("daily-spend", {}, "amount", "must be set: US dollars a day"),
        ("daily-spend", {"amont": 3, "amount": 3}, "amont", "there are amount, tz, warn, name, channels"),
        ("daily-spend", {"amount": "much"}, "amount", "must be a number, not 'much'"),
        ("daily-spend", {"amount": True}, "amount", "must be a number, not True"),
        ("daily-spend", {"amount": float("inf")}, "amount", "must be a number, not inf"),
        ("daily-spend", {"amount": -5}, "amount", "must be more than 0, not -5"),
        ("monthly-spend", {"amount": 0}, "amount", "must be more than 0, not 0"),
        ("daily-spend", {"amount": 5, "warn": "some"}, "warn", "must be a number"),
        ("runaway-key", {"rate": 0}, "rate", "must be more than 0"),
        ("latency-p95", {"ms": -1}, "ms", "must not be negative, not -1"),
        ("cache-hit-drop", {"points": "much"}, "points", "must be a number"),
        ("traffic-silence", {"tz": "Berlin"}, "active.tz", "there is no time zone"),
    ],
)
def test_what_makes_no_sense_is_a_fault(name, values, path, message):
    with pytest.raises(RuleError) as caught:
        rule_templates.get(name).made(values)
    assert message in dict(caught.value.faults)[path]


def test_a_value_may_be_nothing_where_that_says_something():
    assert rule_templates.get("error-spike").made({"percent": 6, "warn_recovery": 0}).conditions[0].warn_recovery == 0
    assert rule_templates.get("daily-spend").made({"amount": 6, "warn": None}).conditions[0].warn is None
    assert rule_templates.get("daily-spend").made({"amount": 6, "warn": 2.5}).conditions[0].warn == 2.5


def test_what_is_turned_round_is_a_number():
    for template in rule_templates.every():
        for name in re.findall(r"\$-([a-z_]+)", str(template.rule)):
            assert template.parameters[name].numeric, template.name


def test_an_unknown_template_is_answered_with_those_there_are():
    with pytest.raises(NotFound, match="budget-used"):
        rule_templates.get("budget")
