import json

import pytest

from data.statement import Statement
from engine import channel_store, rule_versions, rules
from engine.errors import Fault, RuleError, StaleVersion
from engine.rule import kept, parse
from engine.rule_changes import commit, creating
from engine.secrets import SecretBox
from engine.tick import tick
from tests.engine.traffic import COSTLY, MINUTE, NOON, SECOND, again, rows, spend, watch


@pytest.mark.parametrize("how", ["edit", "disable", "delete"])
def test_an_incident_ends_with_its_rule(store, how):
    rule = watch(store)
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    later = NOON + SECOND
    if how == "edit":
        when = {"metric": "cost", "window": "5m", "op": ">", "value": 100}
        rules.save(store, {**COSTLY, "when": when}, rule_id=rule.id, by="ada", at=later)
    elif how == "disable":
        rules.toggle(store, rule.id, by="ada", at=later)
    else:
        rules.delete(store, rule.id, by="ada", at=later)
    assert rows(store, "alerts", "status") == [("resolved",)]
    assert [r for (r,) in rows(store, "notifications", "reason")] == ["first", "resolved"]
    assert rows(store, "alert_instances", "state") == ([("paused",)] if how == "disable" else [])


def test_an_edit_of_words_keeps_the_state(store):
    rule = watch(store)
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    rules.save(store, {**COSTLY, "message": "hello"}, rule_id=rule.id, version=1, by="ada")
    assert rows(store, "alerts", "status") == [("firing",)]
    tick(store, [again(store, rule.id)], NOON + MINUTE)
    assert [r for (r,) in rows(store, "notifications", "reason")] == ["first"]


@pytest.mark.parametrize("how", ["edit", "rollback", "pause"])
def test_the_answer_to_a_change_says_how_the_rule_stands(store, how):
    rule = watch(store)
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    if how == "edit":
        said = rules.save(store, {**COSTLY, "message": "hello"}, rule_id=rule.id, by="ada")
    elif how == "rollback":
        said = rule_versions.rollback(store, rule.id, 1, by="ada")
    else:
        said = rules.toggle(store, rule.id, by="ada")
    assert said == rules.get(store, rule.id)
    assert (said.state, said.health) == (("paused" if how == "pause" else "firing"), "ok")


def test_of_two_edits_of_one_version_the_second_is_refused(store):
    rule = watch(store)
    rules.save(store, COSTLY, rule_id=rule.id, version=1, by="ada")
    with pytest.raises(StaleVersion):
        rules.save(store, COSTLY, rule_id=rule.id, version=1, by="grace")
    assert [v for (v,) in store.sql("SELECT version FROM rule_versions ORDER BY version").rows()] == [1, 2]
    assert [a for (a,) in rows(store, "audit_log", "action")] == ["create", "update"]


def test_a_rule_names_only_channels_that_exist(store, home):
    mail = {"name": "mail", "kind": "webhook", "config": {"url": "https://hook.example"}}
    channel_store.create(store, SecretBox(home), mail, by="ada")
    told = {"notify": ["in-app", "male"], "fallback": ["mail", "pager"]}

    with pytest.raises(RuleError) as caught:
        rules.save(store, {**COSTLY, **told}, by="ada")

    known = "known are in-app, mail"
    assert caught.value.faults == (
        Fault("notify[1]", f"there is no channel 'male'; {known}"),
        Fault("fallback[1]", f"there is no channel 'pager'; {known}"),
    )
    assert rules.every(store) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("   ", "must not be blank"),
        (" lead", "must not begin or end with a space"),
        ("a\u0000b", r"must not hold characters that cannot be seen, as '\x00'"),
        ("a\tb", r"must not hold characters that cannot be seen, as '\t'"),
        ("a\nb\u202e", r"must not hold characters that cannot be seen, as '\n'"),
        ("a\u202eb", r"must not hold characters that cannot be seen, as '\u202e'"),
    ],
)
def test_a_name_can_be_read(store, name, why):
    with pytest.raises(RuleError) as caught:
        rules.save(store, {**COSTLY, "name": name}, by="ada")
    assert caught.value.faults == (Fault("name", why),)
    assert kept({**COSTLY, "name": name}).name == name  # what is stored goes on working


@pytest.mark.parametrize("name", ["Käse für Übung", "\U0001f469\u200d\U0001f4bb busy", "کتاب\u200cها", "日本"])
def test_any_language_names_rules(store, name):
    assert rules.save(store, {**COSTLY, "name": name}, by="ada").name == name


def test_two_rules_never_come_to_share_a_name(store):
    first, second = watch(store), watch(store, name="Other")
    taken = Fault("name", "is taken: there is a rule 'High cost'")
    for rule_id in (None, second.id):
        with pytest.raises(RuleError) as caught:
            rules.save(store, {**COSTLY, "notify": ["pager"]}, rule_id=rule_id, by="ada")
        assert caught.value.faults[0] == taken
    rules.save(store, {**COSTLY, "name": "Renamed"}, rule_id=first.id, by="ada")
    rules.save(store, COSTLY, rule_id=second.id, by="ada")
    with pytest.raises(RuleError) as caught:
        rule_versions.rollback(store, first.id, 1, by="ada")
    assert caught.value.faults == (taken,)


def test_of_two_made_at_once_one_is_refused(store):
    made = [creating(parse(COSTLY), by=who, at=NOON) for who in ("ada", "grace")]
    commit(store, made[:1])
    with pytest.raises(StaleVersion):
        commit(store, made[1:])
    assert [rule.name for rule in rules.every(store)] == ["High cost"]


def test_a_rule_of_a_name_that_none_may_have_now_still_ends(store):
    rule = watch(store)
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    store.transact([Statement("UPDATE rules SET name = 'a\tb', document = '{}'")])
    rules.delete(store, rule.id, by="ada")
    assert rows(store, "alerts", "status") == [("resolved",)]


def test_rules_that_share_a_name_already_go_on(store):
    first, second = watch(store), watch(store, name="Other")
    renamed = json.dumps(COSTLY)
    store.transact([Statement("UPDATE rules SET name = 'High cost', document = ? WHERE id = ?", (renamed, second.id))])
    for rule in (first, second):
        assert rules.save(store, {**COSTLY, "message": "hello"}, rule_id=rule.id, by="ada").name == "High cost"


def test_an_edit_is_held_to_the_same_channels(store):
    rule = watch(store)
    with pytest.raises(RuleError, match="there is no channel 'pager'"):
        rules.save(store, {**COSTLY, "notify": ["pager"]}, rule_id=rule.id, by="ada")
    assert rules.get(store, rule.id).version == 1
