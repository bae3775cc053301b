"""A person changes a rule while the engine evaluates it: what the engine did meanwhile is no reason to refuse."""

import pytest

from engine import rule_files, rule_transfer, rule_versions, rules
from engine.errors import StaleVersion
from engine.rule import parse
from engine.rule_changes import ATTEMPTS
from engine.tick import tick
from tests.engine.traffic import COSTLY, NOON, SECOND, again, rows, spend, watch

STRICTER = {**COSTLY, "when": {**COSTLY["when"], "value": 1.5}}


class Evaluating:
    """A store whose rule is evaluated just before a change of it is committed, some times."""

    def __init__(self, store, rule, times):
        self._store, self._rule, self.left, self.at = store, rule, times, NOON

    def transact(self, statements):
        if self.left and any("audit_log" in str(one.sql) for one in statements):
            self.left -= 1
            self.evaluate()
        return self._store.transact(statements)

    def evaluate(self):
        self.at += SECOND
        assert not tick(self._store, [self._rule], self.at).conflicted

    def __getattr__(self, name):
        return getattr(self._store, name)


CHANGES = {
    "delete": lambda store, rule_id: rules.delete(store, rule_id, by="ada"),
    "delete at a version": lambda store, rule_id: rules.delete(store, rule_id, by="ada", version=2),
    "toggle": lambda store, rule_id: rules.toggle(store, rule_id, by="ada"),
    "edit": lambda store, rule_id: rules.save(store, STRICTER, by="ada", rule_id=rule_id),
    "roll back": lambda store, rule_id: rule_versions.rollback(store, rule_id, 1, by="ada"),
    "import": lambda store, _: rule_transfer.bring(store, rule_files.read(_written(), "a.yaml"), by="ada"),
}


def _written():
    return rule_files.written(parse(STRICTER))


@pytest.fixture
def firing(store):
    """A rule at its second version, of which an incident is open."""
    first = watch(store, when={**COSTLY["when"], "value": 0.5})
    rules.save(store, COSTLY, by="ada", rule_id=first.id)
    rule = again(store, first.id)
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    return rule


@pytest.mark.parametrize("how", CHANGES)
def test_a_change_is_made_although_the_engine_keeps_evaluating(store, firing, how):
    busy = Evaluating(store, firing, ATTEMPTS - 1)
    CHANGES[how](busy, firing.id)
    assert busy.left == 0
    assert rows(store, "alerts", "status") == [("resolved",)]
    assert len(rows(store, "audit_log", "action")) == 3


def test_whoever_named_a_version_hears_that_another_person_was_faster(store, firing):
    busy = Evaluating(store, firing, 1)
    busy.evaluate = lambda: rules.toggle(store, firing.id, by="grace")
    with pytest.raises(StaleVersion, match="at version 3, not 2"):
        rules.delete(busy, firing.id, by="ada", version=2)


def test_a_switch_that_another_person_was_faster_with_is_not_thrown_back(store, firing):
    busy = Evaluating(store, firing, 1)
    busy.evaluate = lambda: rules.toggle(store, firing.id, by="grace")
    assert not rules.toggle(busy, firing.id, by="ada").enabled
