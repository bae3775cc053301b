import pytest

from engine import channel_store, rule_versions, rules
from engine.differences import Difference
from engine.errors import NotFound, RuleError, StaleVersion
from engine.secrets import SecretBox
from engine.tick import tick
from tests.engine.traffic import COSTLY, NOON, SECOND, again, rows, spend, watch

DEARER = {**COSTLY, "when": {**COSTLY["when"], "value": 100}}


def test_versions_are_listed_newest_first_with_what_each_changed(store):
    rule = watch(store)
    rules.save(store, DEARER, rule_id=rule.id, by="grace")
    rules.toggle(store, rule.id, by="ada")

    found = rule_versions.every(store, rule.id)

    assert [(v.version, v.changed_by, v.changes) for v in found] == [
        (3, "ada", ()),
        (2, "grace", (Difference("when.value", 1, 100),)),
        (1, "ada", ()),
    ]
    assert found[1].document["when"] == DEARER["when"]


def test_any_two_versions_are_compared(store):
    rule = watch(store)
    rules.save(store, DEARER, rule_id=rule.id, by="ada")
    rules.save(store, {**DEARER, "for": "5m"}, rule_id=rule.id, by="ada")

    assert rule_versions.between(store, rule.id, 3, 1) == [
        Difference("when.value", 100, 1),
        Difference("for", "5m", None),
    ]
    with pytest.raises(NotFound, match="no version 9"):
        rule_versions.between(store, rule.id, 1, 9)


def test_a_rollback_is_a_new_version_and_ends_what_the_other_rule_fired(store):
    rule = watch(store)
    rules.save(store, DEARER, rule_id=rule.id, by="ada")
    spend(store, NOON - SECOND, "200")
    tick(store, [again(store, rule.id)], NOON)

    back = rule_versions.rollback(store, rule.id, 1, by="grace", version=2, at=NOON + SECOND)

    assert (back.version, back.document["when"]) == (3, COSTLY["when"])
    assert rows(store, "alerts", "status") == [("resolved",)]
    assert rows(store, "audit_log", "actor", "action")[-1] == ("grace", "rollback to 1")


def test_a_rollback_from_a_version_that_has_passed_names_the_present_one(store):
    rule = watch(store)
    rules.save(store, DEARER, rule_id=rule.id, by="ada")
    with pytest.raises(StaleVersion, match="at version 2, not 1") as caught:
        rule_versions.rollback(store, rule.id, 1, by="grace", version=1)
    assert caught.value.current == 2
    assert rules.get(store, rule.id).version == 2


def test_a_rollback_to_a_channel_that_is_gone_is_refused(store, home):
    hook = {"name": "hook", "kind": "webhook", "config": {"url": "https://hook.example"}}
    made = channel_store.create(store, SecretBox(home), hook, by="ada")
    rule = watch(store, notify=["hook"])
    rules.save(store, COSTLY, rule_id=rule.id, by="ada")
    channel_store.delete(store, made.id, by="ada")
    with pytest.raises(RuleError, match="there is no channel 'hook'"):
        rule_versions.rollback(store, rule.id, 1, by="ada")


def test_versions_outlive_their_rule_and_unknown_rules_have_none(store):
    rule = watch(store)
    rules.delete(store, rule.id, by="ada")
    assert [v.version for v in rule_versions.every(store, rule.id)] == [1]
    with pytest.raises(NotFound):
        rule_versions.every(store, "nobody")
    with pytest.raises(NotFound):
        rule_versions.rollback(store, rule.id, 1, by="ada")
