"""A key that stands twice is a fault wherever documents are read: one of the two would be lost."""

import pytest

from engine.api.repeats import repeats
from engine.errors import Fault, RuleError
from engine.rule import parse
from engine.rule_files import read
from engine.unique_yaml import load
from tests.engine.test_api import api, ask
from tests.engine.traffic import COSTLY

__all__ = ["api"]

RULE = """
name: High cost
severity: low
when: {metric: cost, window: 5m, op: ">", value: 1}
"""


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("severity: critical", "is not valid YAML in line 5: the key 'severity' stands there twice"),
        ("labels: {team: a, team: b}", "is not valid YAML in line 5: the key 'team' stands there twice"),
        ("notify: [a, {b: 1, 'b': 2}]", "is not valid YAML in line 5: the key 'b' stands there twice"),
    ],
)
def test_a_rule_says_nothing_twice(more, why):
    with pytest.raises(RuleError) as caught:
        parse(RULE + more)
    assert caught.value.faults == (Fault("", why),)


def test_a_file_is_told_by_its_line():
    with pytest.raises(RuleError) as caught:
        read(f"{RULE}---{RULE}severity: critical", "cost.yaml")
    assert caught.value.faults == (Fault("cost.yaml:9", "is not valid YAML: the key 'severity' stands there twice"),)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a: 1, b: {a: 2}, c: [{a: 3}, {a: 4}]}", {"a": 1, "b": {"a": 2}, "c": [{"a": 3}, {"a": 4}]}),
        ("{1: a, '1': b}", {1: "a", "1": "b"}),
        ("base: &x {a: 1, b: 1}\nmore: &y {<<: *x, a: 2}\nlast: {<<: *y, b: 3}", None),
        ("", None),
    ],
)
def test_what_is_no_repeat_is_read(text, value):
    read_ = load(text)
    assert read_ == (value or read_)
    if "last" in text:
        assert read_["last"] == {"a": 2, "b": 3}


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (b'{"a": {"a": 1}, "b": [{"a": 1}, {"a": 1}]}', []),
        (b'{"a": 1, "a": 2, "a": 3, "b": 1, "b": 1}', ["a", "b"]),
        (b'{"when": {"all": [{"op": 1}, {"op": ">", "op": "<"}]}}', ["when.all[1].op"]),
        (b'{"a": {"x": 1, "x": 2}, "a": {"y": 1}}', ["a"]),
    ],
)
def test_json_names_where(text, places):
    assert [fault.path for fault in repeats(text)] == places


async def test_the_api_takes_no_body_that_says_something_twice(api):
    body = b'{"name": "x", "name": "y", "when": {"metric": "cost", "window": "5m", "op": ">", "value": 1}}'
    headers = {"Content-Type": "application/json"}
    refused = await ask(api, "POST", "/api/alerts/rules", 422, data=body, headers=headers)
    assert refused["errors"] == [{"path": "name", "message": "stands there twice"}]
    deep = b'{"a": ' + b"[" * 1000 + b"]" * 1000 + b"}"
    await ask(api, "POST", "/api/alerts/rules", 400, data=deep, headers=headers)
    assert (await ask(api, "GET", "/api/alerts/rules"))["items"] == []
    await ask(api, "POST", "/api/alerts/rules", 201, json=COSTLY)
