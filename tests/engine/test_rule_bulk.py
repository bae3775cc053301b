"""One act for many rules: all or none, with a line of the audit log each."""

from dataclasses import replace

import pytest

from data.queries import rules as rule_rows
from engine import channel_store, provisioning, rule_bulk, rule_files, rules
from engine.errors import NotFound, Refused, StaleVersion
from engine.rule import parse
from engine.rule_bulk import Done, RuleAction
from engine.secrets import SecretBox
from engine.tick import tick
from tests.engine.test_api import api, ask
from tests.engine.traffic import COSTLY, MINUTE, NOON, SECOND, again, rows, spend, watch

__all__ = ["api"]

PATH = "/api/alerts/rules/bulk"


def firing(store, *names, **changes):
    """Rules that have fired at noon."""
    made = [watch(store, name=name, **changes) for name in names]
    spend(store, NOON - SECOND, "2")
    tick(store, made, NOON)
    return [rule.id for rule in made]


def act(store, action, ids, **more):
    return rule_bulk.act(store, action, ids, by="ada", at=NOON + MINUTE, **more)


def shown(store):
    return [(rule.name, rule.enabled, rule.version) for rule in rules.every(store)]


def test_rules_are_switched_off_and_on_each_with_its_version_and_its_line(store):
    a, b = firing(store, "a", "b")
    assert act(store, RuleAction.DISABLE, [b, a, b]) == [Done(b, "disabled", 2, True), Done(a, "disabled", 2, True)]
    assert shown(store) == [("a", False, 2), ("b", False, 2)]
    assert rows(store, "alerts", "status") == [("resolved",)] * 2
    assert [rule.state for rule in rules.every(store)] == ["paused"] * 2
    assert act(store, RuleAction.ENABLE, [a]) == [Done(a, "enabled", 3, True)]
    lines = rows(store, "audit_log", "actor", "action", "object_id")
    assert lines[-3:] == [("ada", "disable", b), ("ada", "disable", a), ("ada", "enable", a)]
    assert rule_rows.versions(store, a)["version"].to_list() == [3, 2, 1]


def test_what_is_so_already_stays_as_it_is(store):
    a, b = firing(store, "a", "b")
    rules.toggle(store, a, by="ada", enabled=False, at=NOON)
    done = act(store, RuleAction.DISABLE, [a, b])
    assert done == [Done(a, "disabled", 2, False), Done(b, "disabled", 2, True)]
    assert act(store, RuleAction.DISABLE, [a, b], versions={a: 2}) == [
        Done(a, "disabled", 2, False),
        Done(b, "disabled", 2, False),
    ]


def test_deleted_rules_end_their_incidents_and_whoever_was_told_hears_it(store):
    a, b = firing(store, "a", "b")
    assert act(store, RuleAction.DELETE, [a, b]) == [Done(a, "deleted", 1, True), Done(b, "deleted", 1, True)]
    assert rules.every(store) == []
    assert rows(store, "alerts", "status") == [("resolved",)] * 2
    assert sorted(rows(store, "notifications", "rule_id", "reason")) == sorted(
        (rule_id, reason) for rule_id in (a, b) for reason in ("first", "resolved")
    )
    assert [line for line in rows(store, "audit_log", "action", "object_id") if line[0] == "delete"] == [
        ("delete", a),
        ("delete", b),
    ]


def test_the_notices_of_all_share_what_a_channel_still_takes(store, config):
    form = {"url": "https://example.org/", "allow_private": True, "per_minute": 0.01, "burst": 3}
    channel_store.create(
        store, SecretBox(config.home), {"name": "hook", "kind": "webhook", "config": form}, by="ada", at=NOON
    )
    ids = firing(store, "a", "b", notify=["hook"])
    act(store, RuleAction.DELETE, ids)
    told = [status for reason, status in rows(store, "notifications", "reason", "status") if reason != "first"]
    assert sorted(told) == ["pending", "silent"]


@pytest.mark.parametrize("action", list(RuleAction), ids=lambda action: action.value)
def test_all_or_none(store, tmp_path, action):
    (tmp_path / "cost.yaml").write_text(rule_files.written(parse({**COSTLY, "name": "filed"}), enabled=True))
    provisioning.apply(store, provisioning.look(tmp_path), NOON)
    (filed,) = rules.every(store)
    ids = [watch(store, name=name).id for name in "ab"]
    if action is RuleAction.ENABLE:
        act(store, RuleAction.DISABLE, ids)
        store.transact([rule_rows.replacing(_off(store, filed.id))])
    before, lines = shown(store), rows(store, "audit_log", "id")
    with pytest.raises(NotFound, match="no rule nobody, else"):
        act(store, action, [*ids, "nobody", "else"])
    with pytest.raises(StaleVersion, match=f"changed {ids[1]} meanwhile"):
        act(store, action, ids, versions={ids[0]: 2 if action is RuleAction.ENABLE else 1, ids[1]: 7})
    with pytest.raises(Refused, match=r"'filed' by cost\.yaml"):
        act(store, action, [*ids, filed.id])
    assert (shown(store), rows(store, "audit_log", "id")) == (before, lines)


def _off(store, rule_id):
    row = rule_rows.by_id(store, rule_id)
    return replace(row, enabled=False, version=row.version + 1)


def test_an_evaluation_at_the_same_time_costs_another_try_and_no_incident(store, monkeypatch):
    ids = firing(store, "a", "b")
    ends, tries = rule_bulk.rule_endings.end_all, []

    def meanwhile(*given):
        made = ends(*given)
        tries.append(1)
        if len(tries) == 1:
            tick(store, [again(store, rule_id) for rule_id in ids], NOON + MINUTE)
        return made

    monkeypatch.setattr(rule_bulk.rule_endings, "end_all", meanwhile)
    rule_bulk.act(store, RuleAction.DISABLE, ids, by="ada", at=NOON + 2 * MINUTE)
    assert len(tries) == 2
    assert rows(store, "alerts", "status") == [("resolved",)] * 2


def test_an_edit_at_the_same_time_is_a_conflict_for_who_named_the_version(store, monkeypatch):
    ids = firing(store, "a", "b")
    ends = rule_bulk.rule_endings.end_all

    def meanwhile(*given):
        made = ends(*given)
        rules.save(store, {**COSTLY, "name": "b"}, rule_id=ids[1], by="grace")
        return made

    monkeypatch.setattr(rule_bulk.rule_endings, "end_all", meanwhile)
    with pytest.raises(StaleVersion, match=f"changed {ids[1]} meanwhile"):
        act(store, RuleAction.DELETE, ids, versions=dict.fromkeys(ids, 1))
    assert shown(store) == [("a", True, 1), ("b", True, 2)]


async def test_a_bulk_over_the_api(api, store):
    ids = firing(store, "a", "b")
    body = {"action": "disable", "ids": ids, "versions": dict.fromkeys(ids, 1), "by": "ada"}
    done = await ask(api, "POST", PATH, json=body)
    assert done == {
        "items": [{"id": each, "status": "disabled", "version": 2, "changed": True} for each in ids],
        "next": None,
    }
    assert api.desk.rules_changed.is_set()
    await ask(api, "POST", PATH, 409, json={**body, "action": "delete"})
    await ask(api, "POST", PATH, 404, json={"action": "delete", "ids": [*ids, "nobody"]})
    assert shown(store) == [("a", False, 2), ("b", False, 2)]
    await ask(api, "POST", PATH, json={"action": "delete", "ids": ids}, headers={"X-Actor": "grace"})
    assert rows(store, "audit_log", "actor", "action")[-2:] == [("grace", "delete")] * 2


@pytest.mark.parametrize(
    "body",
    [
        {"action": "explode", "ids": ["a"]},
        {"action": "delete", "ids": []},
        {"action": "delete"},
        {"action": "delete", "ids": ["a"], "versions": {"a": 0}},
        {"action": "delete", "ids": ["a"], "verisons": {}},
        {"action": "delete", "ids": ["a"] * 501},
    ],
    ids=["no such act", "nothing", "no ids", "no version", "misspelt", "too many"],
)
async def test_a_bulk_that_is_none_is_refused(api, body):
    await ask(api, "POST", PATH, 422, json=body)
