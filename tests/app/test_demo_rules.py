"""The demo's rules are saved once, and only where nobody has made any."""

from app import demo_rules
from engine import rules


def test_they_are_added_once(store):
    assert demo_rules.add(store) == len(demo_rules.RULES)
    assert demo_rules.add(store) == 0
    assert [rule.fault for rule in rules.every(store)] == [""] * len(demo_rules.RULES)


def test_rules_that_people_made_stay_alone(store):
    rules.save(store, {**demo_rules.RULES[0], "name": "Mine"}, by="Ada")
    assert demo_rules.add(store) == 0
    assert [rule.name for rule in rules.every(store)] == ["Mine"]
