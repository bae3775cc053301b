"""What people do with incidents, over the API."""

from datetime import UTC, datetime, timedelta

import pytest
from aiohttp.test_utils import TestClient, TestServer

from engine import decisions, sweep
from engine.api.server import make_app
from engine.desk import Desk
from engine.notify import Reason
from engine.secrets import SecretBox
from engine.tick import tick
from tests.engine.test_api import ask, incident
from tests.engine.traffic import COSTLY, MINUTE, NOON, SECOND, rows, spend, watch

HISTORY = "/api/alerts/history"


@pytest.fixture
async def api(store, config):
    desk = Desk(config, SecretBox(config.home), connected=store)
    async with TestClient(TestServer(make_app(desk))) as client:
        yield client


async def test_an_incident_is_handled_from_end_to_end(api, store):
    _, alert_id = incident(store)
    path = f"{HISTORY}/{alert_id}"
    assert (await ask(api, "GET", path))["alert"]["version"] == 1
    said = await ask(api, "POST", path + "/comments", json={"comment": "hm", "by": "ada", "version": 1})
    assert (said["alert"]["version"], said["comments"][0]["text"]) == (2, "hm")
    given = await ask(api, "POST", path + "/assign", json={"assignee": "grace"}, headers={"X-Actor": "ada"})
    assert given["alert"]["assignee"] == "grace"
    assert [found["id"] for found in (await ask(api, "GET", f"{HISTORY}?assignee=grace,ada"))["items"]] == [alert_id]
    assert (await ask(api, "GET", f"{HISTORY}?assignee=linus"))["items"] == []
    await ask(api, "POST", path + "/assign", 409, json={"assignee": "linus", "version": 2})
    off = await ask(api, "POST", path + "/snooze", json={"for": "2h", "by": "grace", "comment": "after lunch"})
    assert off["alert"]["status"] == "acknowledged"
    left = datetime.fromisoformat(off["alert"]["acknowledged_until"]) - datetime.now(UTC)
    assert timedelta(hours=1, minutes=59) < left <= timedelta(hours=2)
    await ask(api, "POST", path + "/ack", 409, json={"version": 1})
    await ask(api, "POST", path + "/resolve", 409, json={"version": 1})
    await ask(api, "POST", path + "/resolve", json={"version": 4})
    thread = await ask(api, "GET", path + "/comments?limit=1")
    rest = await ask(api, "GET", f"{path}/comments?limit=1&cursor={thread['next']}")
    assert [(c["author"], c["text"]) for c in thread["items"] + rest["items"]] == [
        ("ada", "hm"),
        ("grace", "after lunch"),
    ]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/snooze", {}, 400),
        ("/snooze", {"for": "2h", "until": "2030-01-01T00:00:00Z"}, 400),
        ("/snooze", {"for": "soon"}, 422),
        ("/snooze", {"until": "2020-01-01T00:00:00Z"}, 422),
        ("/ack", {"until": "2020-01-01T00:00:00Z"}, 422),
        ("/assign", {}, 422),
        ("/comments", {}, 422),
        ("/comments", {"comment": "  "}, 422),
        ("/comments", {"comment": "x", "version": 0}, 422),
        ("/comments", {"comment": "x", "versoin": 1}, 422),
    ],
)
async def test_what_makes_no_sense_is_refused(api, store, path, body, status):
    _, alert_id = incident(store)
    await ask(api, "POST", f"{HISTORY}/{alert_id}{path}", status, json=body)
    assert rows(store, "alerts", "version") == [(1,)]


@pytest.mark.parametrize("path", ["/comments", "/decisions"])
async def test_what_there_is_of_an_unknown_incident(api, path):
    await ask(api, "GET", f"{HISTORY}/nobody{path}", 404)


@pytest.mark.parametrize(
    ("more", "status", "changed"),
    [
        ({"action": "comment", "comment": "all of them"}, 200, ("firing", "", 2)),
        ({"action": "assign", "assignee": "ada"}, 200, ("firing", "ada", 2)),
        ({"action": "snooze", "for": "1h"}, 200, ("acknowledged", "", 2)),
        ({"action": "acknowledge"}, 200, ("acknowledged", "", 2)),
        ({"action": "resolve"}, 200, ("resolved", "", 2)),
        ({"action": "comment"}, 422, ("firing", "", 1)),
        ({"action": "assign"}, 400, ("firing", "", 1)),
        ({"action": "snooze"}, 400, ("firing", "", 1)),
        ({"action": "resolve", "versions": {"ID": 7}}, 409, ("firing", "", 1)),
        ({"action": "resolve", "versions": {"other": 1}}, 422, ("firing", "", 1)),
    ],
)
async def test_a_bulk_does_one_thing_to_all_or_to_none(api, store, more, status, changed):
    ids = [incident(store, name=name)[1] for name in "ab"]
    more = {**more, "versions": {ids[0]: 7}} if "ID" in more.get("versions", {}) else more
    done = await ask(api, "POST", f"{HISTORY}/bulk", status, json={"ids": ids, "by": "ada", **more})
    assert rows(store, "alerts", "status", "assignee", "version") == [changed] * 2
    if status == 200:
        assert [(item["id"], item["changed"]) for item in done["items"]] == [(each, True) for each in ids]


async def test_why_was_i_not_told(api, store):
    rule = watch(store, cooldown="1h", repeat="2m")
    for n in (0, 10, 12):
        spend(store, NOON + n * MINUTE - SECOND, "2")
    for n in (0, 2, 6, 10, 12):
        tick(store, [rule], NOON + n * MINUTE)
    sweep.sweep(store, NOON + 3 * timedelta(hours=1))
    first, second = (alert for (alert,) in rows(store, "alerts", "id"))
    told = (await ask(api, "GET", f"{HISTORY}/{first}/decisions"))["items"]
    assert [(d["reason"], d["told"]) for d in told] == [("resolved", True), ("cooldown", False), ("first", True)]
    (quiet,) = (await ask(api, "GET", f"{HISTORY}/{second}/decisions"))["items"]
    assert (quiet["channel"], quiet["reason"], quiet["told"], quiet["held"]) == ("in-app", "cooldown", False, "first")
    assert quiet["words"] == "quiet time after the last notice; it will be told later"
    page = await ask(api, "GET", f"{HISTORY}/{first}/decisions?limit=2")
    assert len((await ask(api, "GET", f"{HISTORY}/{first}/decisions?limit=2&cursor={page['next']}"))["items"]) == 1


def test_every_reason_has_words():
    assert {reason.value for reason in Reason} <= decisions.WORDS.keys()


async def test_every_change_by_the_api_is_on_record(api, store):
    ends = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    _, alert_id = incident(store)
    document = {"name": "hook", "kind": "webhook", "config": {"url": "http://127.0.0.1:9/", "allow_private": True}}
    who = {"X-Actor": "ada"}
    rule = await ask(api, "POST", "/api/alerts/rules", 201, json={**COSTLY, "name": "made"}, headers=who)
    channel = await ask(api, "POST", "/api/notifications/channels", 201, json=document, headers=who)
    silence = await ask(
        api, "POST", "/api/alerts/silences", 201, json={"matchers": {"rule": "x"}, "ends_at": ends}, headers=who
    )
    one, path = f"/api/alerts/rules/{rule['id']}", f"{HISTORY}/{alert_id}"
    change = f"/api/notifications/channels/{channel['id']}"
    for method, where, body in (
        ("PUT", one, {**COSTLY, "name": "other"}),
        ("POST", one + "/toggle", {}),
        ("DELETE", one, None),
        ("PUT", change, {"config": document["config"]}),
        ("DELETE", change, None),
        ("DELETE", f"/api/alerts/silences/{silence['id']}", None),
        ("POST", path + "/comments", {"comment": "x"}),
        ("POST", path + "/assign", {"assignee": "x"}),
        ("POST", path + "/snooze", {"for": "1h"}),
        ("POST", path + "/ack", {}),
        ("POST", path + "/resolve", {}),
    ):
        await ask(
            api, method, where, 204 if method == "DELETE" and "silences" not in where else 200, json=body, headers=who
        )
    lines = (await ask(api, "GET", "/api/alerts/audit?actor=ada&from=2026-03-02"))["items"]
    assert [(line["object_kind"], line["action"]) for line in reversed(lines)] == [
        ("rule", "create"),
        ("channel", "create"),
        ("silence", "create"),
        ("rule", "update"),
        ("rule", "disable"),
        ("rule", "delete"),
        ("channel", "update"),
        ("channel", "delete"),
        ("silence", "end"),
        ("alert", "comment"),
        ("alert", "assign"),
        ("alert", "snooze"),
        ("alert", "acknowledge"),
        ("alert", "resolve"),
    ]
    assert lines[3]["detail"] == {"assignee": "x", "comment": ""}


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("kind=rule", 3),
        ("kind=alert", 1),
        ("action=create,acknowledge", 4),
        ("actor=grace", 1),
        ("actor=nobody", 0),
        ("to=2020-01-01", 0),
        ("object=nobody", 0),
    ],
)
async def test_the_audit_log_is_filtered(api, store, query, count):
    for name in "abc":
        _, alert_id = incident(store, name=name)
    await ask(api, "POST", f"{HISTORY}/{alert_id}/ack", json={"by": "grace"})
    found = await ask(api, "GET", f"/api/alerts/audit?{query}")
    assert len(found["items"]) == count


async def test_the_audit_log_is_paged(api, store):
    for name in "abc":
        watch(store, name=name)
    first = await ask(api, "GET", "/api/alerts/audit?limit=2")
    rest = await ask(api, "GET", f"/api/alerts/audit?limit=2&cursor={first['next']}")
    assert [line["detail"]["name"] for line in first["items"] + rest["items"]] == ["c", "b", "a"]
    assert rest["next"] is None
