import hashlib
import hmac
import json

import pytest
from aiohttp.test_utils import TestClient, TestServer

from data.store import Statement
from engine import channel_store, incidents
from engine.api.server import make_app
from engine.desk import Desk
from engine.pagerduty_events import is_signed
from engine.secrets import SecretBox
from engine.tick import tick
from tests.engine.traffic import NOON, SECOND, rows, spend, watch

SECRET = "a-secret-of-the-subscription"


@pytest.fixture
async def api(store, config):
    desk = Desk(config, SecretBox(config.home), connected=store)
    async with TestClient(TestServer(make_app(desk))) as client:
        client.desk = desk
        yield client


def pager(api, store, name="pager", **changes):
    form = {"routing_key": "R" * 32, "webhook_secret": SECRET, **changes}
    document = {"name": name, "kind": "pagerduty", "config": form}
    return channel_store.create(store, api.desk.box, document, by="ada")


@pytest.fixture
def channel(api, store):
    return pager(api, store)


def firing(store, notify=("pager",)):
    rule = watch(store, notify=list(notify))
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    return rows(store, "alerts", "id")[-1][0]


def event(kind, key, event_id="e-1"):
    data = {"id": "PGR0VU2", "type": "incident", "status": kind, "incident_key": key, "number": 2}
    agent = {"id": "PLH1HKV", "summary": "Grace Hopper", "type": "user_reference"}
    told = {"id": event_id, "event_type": f"incident.{kind}", "resource_type": "incident", "agent": agent, "data": data}
    return json.dumps({"event": told}).encode()


def signature(body, secret=SECRET):
    return "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


async def tell(api, channel, body, *, signed=None, status=202):
    headers = {
        "Content-Type": "application/json",
        "X-PagerDuty-Signature": signature(body) if signed is None else signed,
    }
    path = f"/api/notifications/channels/{channel.id}/pagerduty"
    async with api.post(path, data=body, headers=headers) as answer:
        said = await answer.json(content_type=None)
        assert answer.status == status, said
        return said.get("result", said)


def status_of(store):
    return rows(store, "alerts", "status", "acknowledged_by", "resolved_by")[-1]


async def test_acknowledging_there_acknowledges_here_and_is_not_sent_back(api, store, channel):
    alert_id = firing(store)
    assert await tell(api, channel, event("acknowledged", alert_id)) == "acknowledged"
    assert status_of(store) == ("acknowledged", "Grace Hopper (PagerDuty)", "")
    assert rows(store, "notifications", "reason") == [("first",)]
    assert rows(store, "audit_log", "actor", "action")[-1] == ("Grace Hopper (PagerDuty)", "acknowledge")


async def test_another_channel_that_follows_is_told(api, store, channel):
    other = pager(api, store, "other")
    alert_id = firing(store, ("pager", "other"))
    await tell(api, channel, event("acknowledged", alert_id))
    assert rows(store, "notifications", "channel", "reason")[2:] == [("other", "acknowledgement")]
    assert await tell(api, other, event("unacknowledged", alert_id, "e-2")) == "unacknowledged"
    assert rows(store, "notifications", "channel", "reason")[3:] == [("pager", "unacknowledged")]


async def test_resolving_there_resolves_here(api, store, channel):
    alert_id = firing(store)
    assert await tell(api, channel, event("resolved", alert_id)) == "resolved"
    assert status_of(store) == ("resolved", "", "Grace Hopper (PagerDuty)")


def arrive(store):
    store.transact([Statement("UPDATE notifications SET status = 'sent'")])


async def test_others_hear_that_it_was_resolved_there_and_it_is_not_sent_back(api, store, channel):
    alert_id = firing(store, ("pager", "in-app"))
    arrive(store)
    await tell(api, channel, event("resolved", alert_id))
    assert rows(store, "notifications", "channel", "reason")[2:] == [("in-app", "resolved")]


async def test_what_is_on_its_way_there_when_it_is_resolved_there_is_closed_again(api, store, channel):
    alert_id = firing(store)
    await tell(api, channel, event("resolved", alert_id))
    assert rows(store, "notifications", "channel", "reason") == [("pager", "first"), ("pager", "resolved")]


@pytest.mark.parametrize("kind", ["unacknowledged", "reopened"])
async def test_letting_go_there_lets_go_here(api, store, channel, kind):
    alert_id = firing(store)
    await tell(api, channel, event("acknowledged", alert_id))
    assert await tell(api, channel, event(kind, alert_id, "e-2")) == "unacknowledged"
    assert status_of(store) == ("firing", "", "")


async def test_a_second_copy_of_an_event_changes_nothing(api, store, channel):
    alert_id = firing(store)
    await tell(api, channel, event("acknowledged", alert_id))
    await tell(api, channel, event("unacknowledged", alert_id, "e-2"))
    assert await tell(api, channel, event("acknowledged", alert_id)) == "duplicate"
    assert status_of(store)[0] == "firing"


async def test_our_own_acknowledgement_that_comes_back_keeps_its_name(api, store, channel):
    alert_id = firing(store)
    incidents.acknowledge(store, [alert_id], by="ada")
    assert rows(store, "notifications", "channel", "reason")[-1] == ("pager", "acknowledgement")
    assert await tell(api, channel, event("acknowledged", alert_id)) == "ignored"
    assert status_of(store)[1] == "ada"


@pytest.mark.parametrize(
    "body",
    [
        event("acknowledged", "nobody"),
        event("annotated", "nobody"),
        event("acknowledged", None),
        b'{"event": {"id": "e", "event_type": "pagey.ping", "data": {"message": "hi"}}}',
        b'{"event": {"id": "e", "event_type": "incident.resolved", "data": []}}',
    ],
)
async def test_what_is_about_no_incident_of_ours_is_ignored(api, store, channel, body):
    firing(store)
    assert await tell(api, channel, body) == "ignored"
    assert status_of(store)[0] == "firing"


async def test_an_incident_that_this_channel_was_not_told_of_is_not_its_to_change(api, store, channel):
    alert_id = firing(store, ("in-app",))
    assert await tell(api, channel, event("resolved", alert_id)) == "ignored"
    assert status_of(store)[0] == "firing"


@pytest.mark.parametrize("signed", ["", "v1=", "v1=00", "v0=" + "0" * 64, signature(b"another"), "v1=ü"])
async def test_a_wrong_signature_is_refused(api, store, channel, signed):
    alert_id = firing(store)
    await tell(api, channel, event("resolved", alert_id), signed=signed, status=401)
    assert status_of(store)[0] == "firing"


async def test_one_right_signature_of_several_is_enough_and_so_is_the_secret_before(api, store, channel):
    alert_id = firing(store)
    body = event("acknowledged", alert_id)
    several = f"{signature(body, 'other')},{signature(body)}"
    assert await tell(api, channel, body, signed=several) == "acknowledged"
    rotated = pager(api, store, "rotated", webhook_secret="new", previous_webhook_secret=SECRET)
    assert await tell(api, rotated, event("resolved", "nobody", "e-2")) == "ignored"


async def test_without_a_secret_nothing_is_believed(api, store):
    made = pager(api, store, "open", webhook_secret="")
    body = event("resolved", "x")
    await tell(api, made, body, signed=signature(body, ""), status=401)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"event": 1}', b'{"event": {"id": 1}}'])
async def test_a_signed_body_that_is_no_event_is_a_bad_request(api, channel, body):
    await tell(api, channel, body, status=400)


async def test_only_pagerdutys_channels_have_the_address(api, store):
    form = {"url": "https://example.com"}
    hook = channel_store.create(store, api.desk.box, {"name": "h", "kind": "webhook", "config": form}, by="ada")
    await tell(api, hook, event("resolved", "x"), status=404)


def test_the_signature_of_a_known_body():
    # openssl dgst -sha256 -hmac key
    digest = "88aab3ede8d3adf94d26ab90d3bafd4a2083070c3bcce9c014ee04a443847c0b"
    body, secret = b"The quick brown fox jumps over the lazy dog", "key"
    known = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    assert is_signed(body, f"v1={known}", [secret])
    assert not is_signed(body, f"v1={digest}", [secret])
    assert not is_signed(body, f"v1={known}", [""])
    assert not is_signed(body, "v1=\udcff", [secret])
