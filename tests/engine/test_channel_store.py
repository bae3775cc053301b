"""Channels as they are kept: what a change of one leaves, and what it refuses."""

from decimal import Decimal

import pytest

from data import budget_changes
from data.budgets import Budget, Period
from engine import channel_store
from engine.channels.webhook import new_secret
from engine.errors import Fault, Refused, RuleError
from engine.secrets import MASK, SecretBox
from tests.engine.receivers import receiving
from tests.engine.test_api import api, ask
from tests.engine.traffic import NOON, watch

__all__ = ["api"]


PATH = "/api/notifications/channels"
FORM = {"name": "hook", "kind": "webhook", "config": {"url": "https://example.com/"}}


@pytest.fixture
def box(home):
    return SecretBox(home)


@pytest.fixture
def made(store, box):
    """A webhook with a generated secret."""
    return channel_store.create(store, box, FORM, by="ada")


def changed(store, box, made, **config):
    """The secrets and the previous ones after a change."""
    channel_store.update(store, box, made.id, {"config": config}, by="ada")
    kept, _ = channel_store.config_of(channel_store.by_id(store, made.id), box)
    return kept.secret, kept.previous_secret


def test_a_webhook_cannot_be_left_without_a_secret(store, box, made):
    before = channel_store.by_id(store, made.id)
    with pytest.raises(RuleError) as caught:
        changed(store, box, made, secret="")
    assert [fault.path for fault in caught.value.faults] == ["config.secret"]
    assert channel_store.by_id(store, made.id) == before


def test_a_new_secret_keeps_the_one_before_which_was_shown_only_once(store, box, made):
    first, second, third = made.new_secret, new_secret(), new_secret()
    assert changed(store, box, made, secret=second) == (second, first)
    assert changed(store, box, made, url="https://example.com/b") == (second, first)
    assert changed(store, box, made, secret=second) == (second, first)
    assert changed(store, box, made, **{**made.shown, "secret": third}) == (third, second)
    assert changed(store, box, made, previous_secret="") == (third, "")


def test_the_secret_before_is_what_the_caller_says(store, box, made):
    second, other = new_secret(), new_secret()
    assert changed(store, box, made, secret=second, previous_secret="") == (second, "")
    assert changed(store, box, made, secret=new_secret(), previous_secret=other)[1] == other


async def test_what_was_shown_can_be_changed_and_sent_back_once(api):
    made = await ask(api, "POST", PATH, 201, json=FORM)
    path = f"{PATH}/{made['id']}"
    shown = await ask(api, "GET", path)
    done = await ask(api, "PUT", path, json={**shown, "enabled": False})
    assert (done["enabled"], done["config"]) == (False, shown["config"])
    late = await ask(api, "PUT", path, 409, json={**shown, "enabled": True})
    assert "changed meanwhile" in late["detail"]
    again = {**await ask(api, "GET", path), "enabled": True, "new_secret": made["new_secret"]}
    assert (await ask(api, "PUT", path, json=again))["enabled"] is True


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"message": "{{ title | round }}"}, ("config.message", "'High cost' is not a number")),
        ({"message": "{{ labels }}"}, ("config.message", "a dict cannot be written; write what is in it")),
        (
            {"body": "template", "template": '{"at": "{{ at | round }}"}'},
            ("config.template", "'2026-01-31 14:00:00 UTC' is not a number"),
        ),
    ],
    ids=["words", "map", "template"],
)
def test_what_no_notice_can_fill_in_is_refused(store, box, made, fields, fault):
    with pytest.raises(RuleError) as caught:
        changed(store, box, made, **fields)
    assert caught.value.faults == (Fault(*fault),)


@pytest.mark.parametrize(
    "fields",
    [
        {"message": "{{ value | round(2) }} until {{ resolved_at }}"},
        {"message": "{{ labels.model | int }}{% for group in groups %}{{ group.summary }}{% endfor %}"},
        {"body": "template", "template": '{"all": "{{ labels }}", "groups": "{{ groups }}", "until": "{{ value }}"}'},
    ],
    ids=["number", "label", "whole"],
)
def test_what_some_notice_can_fill_in_is_kept(store, box, made, fields):
    changed(store, box, made, **fields)
    assert fields.items() <= channel_store.get(store, made.id).shown.items()


@pytest.mark.parametrize("weak", ["", "W/"])
async def test_if_match_names_the_state_that_a_change_is_made_from(api, weak):
    made = await ask(api, "POST", PATH, 201, json=FORM)
    path = f"{PATH}/{made['id']}"
    seen = {"If-Match": f'{weak}"{made["updated_at"]}"'}
    await ask(api, "PUT", path, json={"enabled": False}, headers=seen)
    await ask(api, "PUT", path, 409, json={"enabled": True}, headers=seen)
    await ask(api, "PUT", path, 400, json={"enabled": True}, headers={"If-Match": '"1"'})
    assert (await ask(api, "GET", path))["enabled"] is False
    await ask(api, "PUT", path, json={"enabled": True}, headers={"If-Match": "*"})
    assert (await ask(api, "GET", path))["enabled"] is True


async def test_a_misspelt_field_is_refused_by_name(api):
    await ask(api, "POST", PATH, 422, json={**FORM, "enabeld": False})
    made = await ask(api, "POST", PATH, 201, json=FORM)
    refused = await ask(api, "PUT", f"{PATH}/{made['id']}", 422, json={"enabeld": False})
    assert [fault["path"] for fault in refused["errors"]] == ["enabeld"]
    assert (await ask(api, "GET", f"{PATH}/{made['id']}"))["enabled"] is True


async def test_the_description_has_what_guards_a_change(api):
    document = await ask(api, "GET", "/api/openapi.json")
    for path, method in (
        (PATH + "/{id}", "put"),
        ("/api/alerts/rules/{id}", "put"),
        ("/api/alerts/rules/{id}", "delete"),
    ):
        found = [each for each in document["paths"][path][method]["parameters"] if each["in"] == "header"]
        assert [each["name"] for each in found] == ["If-Match"]
    fields = document["components"]["schemas"]["ChannelDocument"]
    assert fields["additionalProperties"] is False
    assert {"updated_at", "breaker", "auto_disabled"} <= fields["properties"].keys()


async def test_who_tried_a_channel_is_on_record_whatever_came_of_it(api, store):
    async with receiving(200, 500) as receiver:
        form = {**FORM, "config": {"url": receiver.url, "allow_private": True}}
        made = await ask(api, "POST", PATH, 201, json=form)
        rule_id = watch(store, notify=["hook"]).id
        tried = [
            await ask(api, "POST", f"{PATH}/{made['id']}/test", json=body, headers={"X-Actor": "grace"})
            for body in ({}, {"rule_id": rule_id})
        ]
    assert [one["delivered"] for one in tried] == [True, False]
    lines = (await ask(api, "GET", "/api/alerts/audit?kind=channel&action=test"))["items"]
    assert [(line["actor"], line["object_id"]) for line in lines] == [("grace", made["id"])] * 2
    assert [line["detail"]["rule_id"] for line in lines] == [rule_id, ""]
    assert [line["detail"]["notification_id"] for line in reversed(lines)] == [one["notification_id"] for one in tried]


@pytest.mark.parametrize("field", ["notify", "warn_notify", "fallback"])
def test_a_channel_stays_while_a_rule_names_it(store, box, made, field):
    condition = {"metric": "cost", "window": "5m", "op": ">", "value": 10, "warn": 6}
    watch(store, when=condition, **{"notify": ["in-app"], field: ["hook"]})
    with pytest.raises(Refused, match="in use by: High cost"):
        channel_store.delete(store, made.id, by="ada")


def test_a_channel_stays_while_a_budget_names_it(store, box, made):
    budget = Budget(name="core", amount_usd=Decimal(5), period=Period.DAY, notify=("in-app", "hook"))
    budget_changes.create(store, budget, by="ada", now=NOON)
    with pytest.raises(Refused, match="in use by: the budget 'core'"):
        channel_store.delete(store, made.id, by="ada")
    budget_changes.remove(store, "core", by="ada", now=NOON)
    channel_store.delete(store, made.id, by="ada")
    assert "hook" not in channel_store.names(store)


async def test_what_is_in_an_address_is_shown_to_nobody(api, store, home):
    form = {**FORM, "config": {"url": "https://example.com/x?token=URLSECRET"}}
    made = await ask(api, "POST", PATH, 201, json=form)
    made.pop("new_secret")
    shown = await ask(api, "GET", f"{PATH}/{made['id']}")
    assert shown["config"]["url"] == f"https://example.com/x?token={MASK}"
    assert "URLSECRET" not in str([made, await ask(api, "GET", PATH)])

    await ask(api, "PUT", f"{PATH}/{made['id']}", json=shown)
    config, secrets = channel_store.config_of(channel_store.by_id(store, made["id"]), SecretBox(home))
    assert str(config.url) == "https://example.com/x?token=URLSECRET"
    assert "URLSECRET" in secrets.values()  # so that no answer of a receiver shows it

    moved = {"config": {"url": f"https://evil.example/x?token={MASK}"}}
    refused = await ask(api, "PUT", f"{PATH}/{made['id']}", 422, json=moved)
    assert refused["errors"] == [{"path": "config.url", "message": "holds a masked value for a new address: enter it"}]


async def test_a_template_that_would_not_be_sent_is_refused(api):
    form = {**FORM, "config": {"url": "https://example.com/", "template": "{}"}}
    refused = await ask(api, "POST", PATH, 422, json=form)
    why = "has no effect with body: standard, only with body: template"
    assert refused["errors"] == [{"path": "config.template", "message": why}]
    await ask(api, "POST", PATH, 201, json={**form, "config": {**form["config"], "body": "template"}})


async def test_a_form_requires_nothing_that_is_made(api):
    forms = {each["kind"]: each["form"] for each in (await ask(api, "GET", "/api/notifications/kinds"))["items"]}
    assert (forms["webhook"]["required"], forms["pagerduty"]["required"]) == (["url"], ["routing_key"])


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"url": "https://a:b@example.com/"}, "url: must not hold a user name or password, which would be shown;"),
        ({"url": "https://example.com/", "colour": "red"}, "colour: there is no field 'colour' here"),
        ({}, "url: is required"),
        ({"url": "https://example.com/", "message": "x" * 4001}, "message: is too long: at most 4000 characters"),
        ({"url": "https://example.com/", "burst": "VERYSECRET"}, "burst: input should be a valid integer"),
    ],
    ids=["login", "unknown", "missing", "long", "number"],
)
def test_a_fault_is_told_in_plain_words(store, box, fields, fault):
    with pytest.raises(RuleError) as caught:
        channel_store.create(store, box, {**FORM, "config": fields}, by="ada")
    assert str(caught.value).startswith(f"config.{fault}")
    assert "VERYSECRET" not in str(caught.value)


async def test_a_bodys_faults_are_told_in_plain_words(api):
    refused = await ask(api, "POST", "/api/alerts/silences", 422, json={"matchers": {"rule": "x"}, "end_at": "x"})
    assert [(error["path"], error["message"]) for error in refused["errors"]] == [
        ("ends_at", "is required"),
        ("end_at", "there is no field 'end_at' here"),
    ]
