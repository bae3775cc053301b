"""A message that can never be filled in is refused wherever a rule is written; a stored one does not stop its rule."""

import orjson
import pytest

from data.statement import Statement
from engine import provisioning, rules, scenario
from engine.errors import Fault, RuleError
from engine.rule import kept, parse
from engine.rule_files import read
from engine.rule_message import message_faults
from engine.rule_templates import Template
from engine.tick import tick
from tests.engine.test_api import api, ask
from tests.engine.traffic import COSTLY, NOON, SECOND, again, rows, spend, watch

__all__ = ["api"]

BROKEN = "it is {{ value }}\n{{ value | wild }}"
WHY = "line 2: No filter named 'wild'."
YAML = f"""
name: High cost
when: {{metric: cost, window: 5m, op: ">", value: 1}}
message: {orjson.dumps(BROKEN).decode()}
"""


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{{ value }} of {{ threshold }}, {{ rule }}, {{ metric }}, {{ severity }}, {{ status }}",
        "{{ model }} of {{ team-name }}\n{% for name, label in labels | items %}{{ loop.first }}{{ name }}{% endfor %}",
        "{{ labels.absent }}{{ labels['absent'] }}",
        "{{ value | round(2) }} {{ value + 1 }} {{ value - threshold }} {{ threshold | number(0) }} {{ -value }}",
        "{% if value > 10 %}{{ value }}{% elif value is number %}{{ threshold / 3 }}{% endif %}",
        "{{ model | int }} {{ team-name }}",  # `a` is no number, but what a group is called may be
    ],
)
def test_what_can_be_filled_in_is_no_fault(message):
    assert list(message_faults(message, {"model", "team-name"})) == []


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (BROKEN, WHY),
        ("a\nb {{ value", "line 2: unexpected end of template"),
        ("\n{% if value %}\n\nx", "line 2: Unexpected end of template"),
        ("\n\n{{ bob }} {{ value }}", "line 3: names bob, known are labels, metric, model, rule"),
        ("\n{{ value.__class__ }}", "line 2: the attribute '__class__' is not possible in a template"),
        ("\n{{ labels.__class__ }}", "line 2: the attribute '__class__' is not possible in a template"),
        ("\n{{ model.name }}", "line 2: model has no attribute 'name'"),
        ("\n{{ value() }}", "line 2: Call is not possible in a template"),
        ("{{ 'x' ~ value }}", "line 1: Concat is not possible in a template"),
        ("{{ value is wild }}", "line 1: No test named 'wild'"),
        ("{{ rule | round }}", "'High error rate' is not a number"),
        ("{% if rule > 3 %}x{% endif %}", "TypeError: '>' not supported"),
        ("{{ labels | items }}", "a list cannot be written"),
        ("{% for n in labels.absent | items %}{{ n }}{% endfor %}", "only labels have items"),
    ],
)
def test_a_fault_names_the_line(message, why):
    ((path, told),) = message_faults(message, {"model"})
    assert path == "message"
    assert told.startswith(why)


def test_a_message_knows_the_labels_of_its_rule():
    grouped = {**COSTLY, "group_by": ["model"], "labels": {"tier": "1"}, "message": "{{ model }} {{ tier }}"}
    assert parse(grouped).message == "{{ model }} {{ tier }}"
    with pytest.raises(RuleError, match="message: line 1: names model, known are"):
        parse({**COSTLY, "message": "{{ model }}"})
    with pytest.raises(RuleError, match="message: line 1: names level"):
        parse({**COSTLY, "message": "{{ level }}"})


def test_files_tests_and_templates_tell_the_place():
    with pytest.raises(RuleError) as caught:
        read(YAML, "cost.yaml")
    assert caught.value.faults == (Fault("cost.yaml:2 message", WHY),)

    with pytest.raises(RuleError) as caught:
        scenario.read({"rule": {**COSTLY, "message": BROKEN}, "series": [{"metric": "cost", "values": "1"}]})
    assert caught.value.faults == (Fault("rule.message", WHY),)

    template = Template("t", "", "", "", "", {}, {**COSTLY, "message": BROKEN})
    with pytest.raises(RuleError) as caught:
        template.made({})
    assert caught.value.faults == (Fault("message", WHY),)


def test_a_provided_file_with_a_broken_message_changes_nothing(store, tmp_path):
    (tmp_path / "cost.yaml").write_text(YAML)
    applied = provisioning.apply(store, provisioning.look(tmp_path), NOON)
    assert [str(fault) for fault in applied.faults] == [f"cost.yaml:2 message: {WHY}"]
    assert rules.every(store) == []


async def test_the_api_refuses_it_as_any_other_fault(api):
    told = [{"path": "message", "message": WHY}]
    refused = await ask(api, "POST", "/api/alerts/rules", 422, json={**COSTLY, "message": BROKEN})
    assert (refused["status"], refused["errors"]) == (422, told)
    rule = await ask(api, "POST", "/api/alerts/rules", 201, json=COSTLY)
    edit = await ask(api, "PUT", f"/api/alerts/rules/{rule['id']}", 422, json={**COSTLY, "message": BROKEN})
    assert edit["errors"] == told
    brought = await ask(api, "POST", "/api/alerts/rules/import", 422, json={"text": YAML})
    assert brought["errors"] == [{"path": "text:2 message", "message": WHY}]


async def test_a_stored_rule_with_a_broken_message_still_watches(api, store):
    """Rules were stored before messages were checked, and the language may change."""
    rule = watch(store)
    broken = orjson.dumps({**COSTLY, "message": BROKEN}).decode()
    store.transact([Statement("UPDATE rules SET document = ?", (broken,))])
    assert kept({**COSTLY, "message": BROKEN}).message == BROKEN
    spend(store, NOON - SECOND, "2")

    tick(store, [again(store, rule.id)], NOON)

    ((notice,),) = rows(store, "notifications", "notice")
    said = orjson.loads(notice)
    assert (said["message"], said["flaw"]) == (BROKEN, "the message: No filter named 'wild'.")
    stored = await ask(api, "GET", f"/api/alerts/rules/{rule.id}")
    assert (stored["fault"], stored["document"]["message"]) == ("", BROKEN)
    await ask(api, "POST", f"/api/alerts/rules/{rule.id}/test")
    asked = {"rule_id": rule.id, "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:00:00Z"}
    await ask(api, "POST", "/api/alerts/simulate", json=asked)


def test_what_fails_only_when_it_is_sent_is_sent_plain_and_flagged(store):
    rule = watch(store, message="{{ 1 / (value - 2) }}")
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    ((notice,),) = rows(store, "notifications", "notice")
    said = orjson.loads(notice)
    assert (said["message"], said["flaw"]) == ("{{ 1 / (value - 2) }}", "the message: float division by zero")


def test_a_value_is_written_with_its_unit_and_counted_as_a_number(store):
    rule = watch(store, message="{{ value }}: {{ value | round(1) }}, {{ value - threshold }} over")
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    ((notice,),) = rows(store, "notifications", "notice")
    assert orjson.loads(notice)["message"] == "$2.00: 2.0, 1.0 over"
