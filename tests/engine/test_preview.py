import json

import pytest
from aiohttp.test_utils import TestClient, TestServer

from engine import channel_store
from engine.api.server import make_app
from engine.channels import CHANNELS
from engine.desk import Desk
from engine.secrets import SecretBox
from engine.tick import tick
from tests.engine.traffic import NOON, SECOND, rows, spend, watch

FORMS = {
    "in_app": {},
    "email": {"host": "mail.example.com", "sender": "a@example.com", "to": ["b@example.com"], "password": "hush-hush"},
    "slack": {"token": "hush-hush", "channel": "#ops"},
    "pagerduty": {"routing_key": "hush-hush"},
    "teams": {"url": "https://example.com/hush-hush"},
    "webhook": {"url": "https://example.com/", "headers": {"X-Token": "hush-hush"}},
    "apprise": {"url": "json://example.com/hush-hush"},
}


@pytest.fixture
async def api(store, config):
    desk = Desk(config, SecretBox(config.home), connected=store)
    async with TestClient(TestServer(make_app(desk))) as client:
        client.desk = desk
        yield client


async def ask(api, status=200, **body):
    async with api.post("/api/notifications/preview", json=body) as answer:
        said = await answer.json(content_type=None)
        assert answer.status == status, said
        return said


def firing(store, **changes):
    rule = watch(store, **changes)
    spend(store, NOON - SECOND, "2", model="opus")
    tick(store, [rule], NOON)
    return rule.id, rows(store, "alerts", "id")[-1][0]


async def test_a_template_is_shown_as_it_would_be_sent(api, store):
    made = await ask(api, template="{{ value }} of {{ threshold }} by {{ labels.model | upper }}")
    assert (made["message"], made["flaw"], made["payload"]) == ("$512.30 of $500 by GPT-5", "", None)
    rule_id, alert_id = firing(store, group_by=["model"])
    of_incident = await ask(api, template="{{ model }}: {{ value }}, {{ status }}", alert_id=alert_id)
    assert (of_incident["message"], of_incident["headline"]) == (
        "opus: $2.00, firing",
        "[FIRING] [HIGH] High cost (model=opus)",
    )
    assert (await ask(api, template="{{ rule }}", rule_id=rule_id))["message"] == "High cost"


async def test_a_broken_template_shows_the_fault_and_the_plain_message(api):
    made = await ask(api, template="{{ nope }}", kind="webhook", config=FORMS["webhook"])
    assert "names nope" in made["flaw"]
    assert made["payload"]["data"]["summary"] == made["summary"]
    assert made["payload"]["data"]["flaw"] == made["flaw"]


@pytest.mark.parametrize("kind", list(CHANNELS))
async def test_every_kind_of_channel_shows_what_it_would_send_but_no_secret(api, store, kind):
    of_form = await ask(api, kind=kind, config=FORMS[kind], template="the value is {{ value }}")
    assert "the value is $512.3" in json.dumps(of_form["payload"], ensure_ascii=False)
    document = {"name": "made", "kind": kind, "config": FORMS[kind]}
    made = channel_store.create(store, api.desk.box, document, by="ada")
    of_stored = await ask(api, channel_id=made.id)
    assert "High cost" in json.dumps(of_stored["payload"])
    assert "hush-hush" not in json.dumps([of_form, of_stored])
    assert rows(store, "notifications", "id") == []


async def test_a_channel_has_words_of_its_own(api):
    config = {**FORMS["slack"], "message": "{{ headline | upper }} at {{ labels.team }}"}
    made = await ask(api, kind="slack", config=config)
    assert made["message"] == "[TEST] [HIGH] HIGH COST (MODEL=GPT-5, TEAM=PLATFORM) at platform"
    await ask(api, 422, kind="slack", config={**config, "message": "{{ nope }}"})
    flawed = await ask(api, kind="slack", config={**config, "message": "{{ value > title }}"})
    assert "the channel's message" in flawed["flaw"]
    assert "This is not said as configured: the channel's message: " in json.dumps(flawed["payload"])


async def test_an_incident_nobody_was_told_of_can_be_previewed(api, store):
    _, alert_id = firing(store, notify=[])
    assert (await ask(api, template="{{ value }}", alert_id=alert_id))["message"] == "2"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"kind": "pigeon"}, 422),
        ({"kind": "slack", "config": {}}, 422),
        ({"kind": "slack", "channel_id": "x"}, 422),
        ({"template": "x", "alert_id": "a", "rule_id": "b"}, 422),
        ({"template": "x" * 4001}, 422),
        ({"channel_id": "nobody"}, 404),
        ({"template": "x", "alert_id": "nobody"}, 404),
        ({"template": "x", "rule_id": "nobody"}, 404),
    ],
)
async def test_what_cannot_be_previewed(api, body, status):
    await ask(api, status, **body)
