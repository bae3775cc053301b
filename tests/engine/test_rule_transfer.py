import pytest

from data.store import Statement
from engine import rules
from engine.errors import RuleError
from engine.rule_files import read
from engine.rule_transfer import Fate, bring, export_from
from engine.tick import tick
from tests.engine.traffic import NOON, SECOND, rows, spend, watch

MORE = """
name: High cost
when: {metric: cost, window: 5m, op: ">", value: 7}
---
name: Many errors
enabled: false
when: {metric: errors, window: 5m, op: ">", value: 7}
"""


def test_what_is_exported_is_imported_without_a_change(store):
    watch(store)
    rules.toggle(store, watch(store, name="Off").id, by="ada", enabled=False)

    done = bring(store, read(export_from(store), "a"), by="ada")

    assert [(one.name, one.fate) for one in done] == [("High cost", Fate.UNCHANGED), ("Off", Fate.UNCHANGED)]
    assert [(one.version, one.enabled) for one in rules.every(store)] == [(1, True), (2, False)]


def test_an_export_says_which_rules_it_leaves_out_and_can_be_imported_all_the_same(store):
    watch(store)
    broken = watch(store, name="Two")
    document = "UPDATE rules SET name = ?, document = replace(document, 'cost', 'no_such_metric') WHERE id = ?"
    store.transact([Statement(document, ("Two\nlines: 1", broken.id))])  # as before such names were refused

    text = export_from(store)

    first, rest = text.split("\n", 1)
    assert first.startswith(r"# left out: the rule 'Two\nlines: 1' cannot be read: ")
    assert "no_such_metric" in first
    assert "left out" not in rest
    assert [one.name for one in bring(store, read(text, "a"), by="ada")] == ["High cost"]


def test_an_import_changes_rules_by_name_and_creates_the_others(store):
    rule = watch(store)
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)

    done = bring(store, read(MORE, "a"), by="grace", at=NOON + SECOND)

    assert [(one.name, one.fate) for one in done] == [("High cost", Fate.UPDATED), ("Many errors", Fate.CREATED)]
    assert done[0].id == rule.id
    assert [(r.name, r.version, r.enabled) for r in rules.every(store)] == [
        ("High cost", 2, True),
        ("Many errors", 1, False),
    ]
    assert rows(store, "alerts", "status") == [("resolved",)]
    assert rows(store, "audit_log", "actor", "action")[-2:] == [("grace", "update"), ("grace", "create")]


def test_a_trial_run_says_what_would_be_done_and_does_nothing(store):
    watch(store)
    done = bring(store, read(MORE, "a"), by="grace", dry_run=True)
    assert [(one.fate, bool(one.id)) for one in done] == [(Fate.UPDATED, True), (Fate.CREATED, False)]
    assert [(r.name, r.version) for r in rules.every(store)] == [("High cost", 1)]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (MORE + "notify: [in-app, pager]\n", "a:5 notify[1]"),
        (MORE + "---\n" + MORE.partition("---")[0], "a:10 name"),
    ],
)
def test_one_faulty_rule_keeps_all_from_being_imported(store, text, path):
    watch(store)
    with pytest.raises(RuleError) as caught:
        bring(store, read(text, "a"), by="grace")
    assert [fault.path for fault in caught.value.faults] == [path]
    assert [(r.name, r.version) for r in rules.every(store)] == [("High cost", 1)]


def test_a_name_that_two_rules_have_is_not_guessed_at(store):
    watch(store)
    watch(store, name="Other")
    store.transact([Statement("UPDATE rules SET name = 'High cost'")])
    with pytest.raises(RuleError, match="there are 2 rules of the name"):
        bring(store, read(MORE, "a"), by="grace")
