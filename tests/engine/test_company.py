"""What channels are told of groups that begin, or end, beside others: reasons, words, and who wants each end."""

from typing import Any

import pytest
from sqlalchemy import update

from data.schema import notifications
from data.store import Statement
from engine import channel_store, rules
from engine.company import Company
from engine.decisions import decisions
from engine.errors import RuleError
from engine.notice import decode
from engine.rule import document
from engine.secrets import SecretBox
from engine.tick import tick
from tests.engine.test_notify import rule_with
from tests.engine.traffic import MINUTE, NOON, SECOND, again, rows, spend, watch

HOOK = {"url": "http://127.0.0.1:9/", "allow_private": True}
A, B, C = (f'{{"model":"{name}"}}' for name in "abc")


def hook(store, home, **config: Any):
    document = {"name": "hook", "kind": "webhook", "config": {**HOOK, **config}}
    return channel_store.create(store, SecretBox(home), document, by="ada")


def told(store):
    """(reason, summary) of everything that goes out to the hook, oldest first."""
    wanted = "SELECT reason, notice FROM notifications WHERE status != 'silent' AND bundle = '' ORDER BY id"
    return [(reason, decode(text).summary) for reason, text in store.sql(wanted).rows()]


def course(store, rule, *minutes: str, since: int = 0):
    """Evaluated minute by minute: the models, a letter each, that cost too much then; the others cost little."""
    for minute, models in enumerate(minutes, since):
        at = NOON + minute * MINUTE
        for model in "abcdefg":
            spend(store, at - SECOND, "2" if model in models else "0.1", model=model)
        tick(store, [rule], at)


def minutely(store, **fields: Any):
    when = {"metric": "cost", "window": "1m", "op": ">", "value": 1}
    return watch(store, when=when, group_by=["model"], notify=["hook"], flapping=None, **fields)


def test_a_beginning_and_an_end_beside_others_say_which_fire_still(store, home):
    hook(store, home)

    course(store, minutely(store), "a", "ab", "b", "")

    measured = "Cost over the last minute: $2.00 (threshold: above $1)."
    over = "The condition no longer holds."
    found = told(store)
    assert [reason for reason, _ in found] == ["first", "new_groups", "some_resolved", "resolved"]
    assert found[1][1] == f"{measured} Another fires still: model=a."
    assert found[2][1].startswith(over)
    assert found[2][1].endswith("Another fires still: model=b.")
    assert "fires" not in found[3][1]


def test_many_that_begin_beside_others_are_one_notice_that_names_a_few_of_these(store, home):
    hook(store, home)

    course(store, minutely(store), "abcde", "abcdefg", "fg", "f")

    *many, last = [text for _, text in told(store)]
    assert many == [
        "5 groups began to fire: model=a, model=b, model=c and 2 more.",
        "2 groups began to fire: model=f, model=g. 5 others fire still: model=a, model=b, model=c and 2 more.",
        "5 groups are over: model=a, model=b, model=c and 2 more. 2 others fire still: model=f, model=g.",
    ]
    assert last.endswith("Another fires still: model=f.")
    (carrier,) = store.sql("SELECT notice FROM notifications WHERE reason = 'new_groups' AND bundle = ''").to_series()
    assert all("still" not in member.summary for member in decode(carrier).groups)


def test_a_channel_without_partial_ends_hears_once_that_all_is_over(store, home):
    hook(store, home, partial_ends=False)

    course(store, minutely(store), "a", "ab", "b", "")

    assert [reason for reason, _ in told(store)] == ["first", "new_groups", "resolved"]
    assert told(store)[-1][1].endswith("Nothing that was told here fires any more.")
    first = rows(store, "alerts", "id")[0][0]
    (quiet, _) = decisions(store, first)
    assert (quiet.reason, quiet.told, quiet.status) == ("others_fire", False, "silent")
    assert quiet.words == "others that it was told of fire still; it hears of the end once all are over"


@pytest.mark.parametrize(("status", "end"), [("sent", "others_fire"), ("pending", "some_resolved")])
def test_an_end_that_a_fallback_may_have_to_hear_of_is_told_beside_others(store, home, status, end):
    hook(store, home, partial_ends=False)
    rule = minutely(store, fallback=["in-app"])
    course(store, rule, "ab")
    store.transact([Statement(update(notifications).where(notifications.c.bundle == "").values(status=status))])

    course(store, rule, "b", since=1)

    assert rows(store, "notifications", "reason")[-1] == (end,)


def test_an_end_is_told_beside_others_also_where_the_rule_names_no_fallback_any_more(store, home):
    hook(store, home, partial_ends=False)
    rule = minutely(store, fallback=["in-app"])
    course(store, rule, "ab")
    store.transact([Statement(update(notifications).where(notifications.c.bundle == "").values(status="failed"))])
    stored = rules.save(store, {**document(rule.rule), "fallback": []}, by="ada", rule_id=rule.id)

    course(store, again(store, stored.id), "b", since=1)

    assert rows(store, "notifications", "reason")[-1] == ("some_resolved",)


def test_what_is_told_at_one_level_is_no_company_at_the_other(store, home):
    hook(store, home)
    when = {"metric": "cost", "window": "1m", "op": ">", "value": 5, "warn": 1}
    rule = watch(store, when=when, group_by=["model"], notify=["hook"])

    course(store, rule, "a")
    spend(store, NOON + MINUTE - SECOND, "2", model="a")
    spend(store, NOON + MINUTE - SECOND, "9", model="b")
    tick(store, [rule], NOON + MINUTE)

    assert [reason for reason, _ in told(store)] == ["first", "first"]


BOT = {"token": "xoxb-1", "channel": "#ops"}
KEEPERS: list[Any] = [
    pytest.param("pagerduty", {"routing_key": "0" * 32}, id="pagerduty"),
    pytest.param("slack", BOT, id="a bot of Slack"),
    pytest.param("webhook", {**HOOK, "body": "alertmanager"}, id="Alertmanager's body"),
]


@pytest.mark.parametrize(("kind", "form"), KEEPERS)
def test_a_receiver_that_keeps_a_record_of_each_incident_must_hear_of_each_end(store, home, kind, form):
    document = {"name": "keeper", "kind": kind, "config": {**form, "partial_ends": False}}

    with pytest.raises(RuleError, match=r"config\.partial_ends: must stay true"):
        channel_store.create(store, SecretBox(home), document, by="ada")

    channel_store.create(store, SecretBox(home), {**document, "config": form}, by="ada")


def test_a_channel_that_waits_for_all_ends_cannot_become_one_that_needs_each(store, home):
    made = hook(store, home, partial_ends=False)

    with pytest.raises(RuleError, match="must stay true"):
        channel_store.update(store, SecretBox(home), made.id, {"config": {"body": "alertmanager"}}, by="ada")


def company(**fields: Any) -> Company:
    made = Company.of(rule_with(**fields))
    for channel, key in (("x", A), ("x", B), ("y", A)):
        made.join(channel, key)
    return made


def test_company_is_kept_by_channel_and_without_the_group_itself():
    made = company(group_by=["model"])
    assert [made.beside("x", key) for key in (A, B, C)] == [1, 1, 2]
    assert [made.beside("y", key) for key in (A, B)] == [0, 1]
    assert made.others("x", C) == [A, B]

    made.leave(A)

    assert [made.beside("x", C), made.beside("y", C)] == [1, 0]


def test_a_rule_without_groups_has_no_company():
    assert company().beside("x", C) == 0
