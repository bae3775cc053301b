import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from aiohttp.test_utils import TestClient, TestServer

from data.maintenance import maintain
from data.queries.limits import LimitRow, keeping
from data.records import record_table
from engine import channel_store, incidents, ledger, rules, silences, trial
from engine.api.server import ROUTES, make_app
from engine.desk import Desk
from engine.housekeeping.dropping import dropping
from engine.housekeeping.housekeeper import Housekeeper
from engine.secrets import MASK, SecretBox
from engine.tick import tick
from tests.data.ledger import record
from tests.engine.receivers import receiving
from tests.engine.traffic import COSTLY, MINUTE, NOON, SECOND, again, rows, spend, watch

PROBLEM = "application/problem+json"


@pytest.fixture
async def api(store, config):
    desk = Desk(config, SecretBox(config.home), connected=store)
    async with TestClient(TestServer(make_app(desk))) as client:
        client.desk = desk
        yield client


async def ask(api, method, path, status=200, **options):
    async with api.request(method, path, **options) as answer:
        text = await answer.text()
        assert answer.status == status, text
        if status >= 400:
            assert answer.content_type == PROBLEM
            assert json.loads(text)["status"] == status
        return json.loads(text, parse_float=Decimal) if text else None


def incident(store, **changes):
    """A firing rule; its id and its incident's."""
    rule = watch(store, **changes)
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    return rule.id, rows(store, "alerts", "id")[-1][0]


async def test_a_rule_lives_through_the_api(api, store):
    made = await ask(api, "POST", "/api/alerts/rules", 201, json=COSTLY, headers={"X-Actor": "ada"})
    path = f"/api/alerts/rules/{made['id']}"
    assert (made["version"], made["name"]) == (1, "High cost")
    assert made["sentence"]
    assert (await ask(api, "GET", "/api/alerts/rules"))["items"][0]["id"] == made["id"]
    changed = await ask(api, "PUT", path, json={**COSTLY, "name": "Higher cost", "version": 1})
    assert (changed["version"], changed["name"]) == (2, "Higher cost")
    await ask(api, "PUT", path, 409, json={**COSTLY, "version": 1})
    await ask(api, "PUT", path, 409, json=COSTLY, headers={"If-Match": '"1"'})
    assert (await ask(api, "POST", path + "/toggle", json={}))["enabled"] is False
    assert (await ask(api, "POST", path + "/toggle", json={"enabled": True}))["enabled"] is True
    await ask(api, "DELETE", path, 204)
    await ask(api, "GET", path, 404)
    actions = [action for (action,) in rows(store, "audit_log", "action")]
    assert actions == ["create", "update", "disable", "enable", "delete"]
    assert rows(store, "audit_log", "actor")[0] == ("ada",)


async def test_a_stored_rule_can_be_sent_back_as_it_came(api):
    made = await ask(api, "POST", "/api/alerts/rules", 201, json=COSTLY)
    made["document"]["name"] = "Renamed"
    body = {name: made[name] for name in ("id", "version", "document")}
    back = await ask(api, "PUT", f"/api/alerts/rules/{made['id']}", json=json.loads(json.dumps(body, default=float)))
    assert back["name"] == "Renamed"


async def test_a_faulty_rule_names_its_faults(api):
    bad = {**COSTLY, "severity": "awful", "when": {"metric": "nope", "window": "5m", "op": ">", "value": 1}}
    answer = await ask(api, "POST", "/api/alerts/rules", 422, json=bad)
    assert {error["path"] for error in answer["errors"]} >= {"severity", "when.metric"}


async def test_a_channel_that_does_not_exist_is_a_fault_of_its_place(api):
    answer = await ask(api, "POST", "/api/alerts/rules", 422, json={**COSTLY, "notify": ["in-app", "nobody"]})
    assert [error["path"] for error in answer["errors"]] == ["notify[1]"]


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("POST", "/api/alerts/rules", {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ("POST", "/api/alerts/rules", {"json": [1]}, 400),
        ("POST", "/api/alerts/rules", {"data": "a=b", "headers": {"Content-Type": "text/plain"}}, 415),
        ("POST", "/api/alerts/rules", {"json": {}}, 422),
        ("POST", "/api/alerts/rules", {"json": {**COSTLY, "enabled": "yes"}}, 400),
        ("PUT", "/api/alerts/rules/nobody", {"json": COSTLY}, 404),
        ("DELETE", "/api/alerts/rules/nobody", {}, 404),
        ("DELETE", "/api/alerts/rules/nobody?version=x", {}, 400),
        ("POST", "/api/alerts/rules/nobody/toggle", {"json": {}}, 404),
        ("POST", "/api/alerts/rules/nobody/toggle", {"json": {"enabled": 7, "x": 1}}, 422),
        ("POST", "/api/alerts/rules/nobody/test", {"json": {}}, 404),
        ("POST", "/api/alerts/simulate", {"json": {}}, 422),
        ("POST", "/api/alerts/simulate", {"json": {"from": "2026-01-01"}}, 400),
        ("POST", "/api/alerts/simulate", {"json": {"rule": COSTLY, "from": "yesterday"}}, 400),
        ("POST", "/api/alerts/simulate", {"json": {"rule": COSTLY, "from": "2026-01-02", "to": "2026-01-01"}}, 400),
        ("POST", "/api/alerts/simulate", {"json": {"rule": COSTLY, "from": "2000-01-01", "to": "2026-01-01"}}, 409),
        ("GET", "/api/alerts/history?limit=0", {}, 400),
        ("GET", "/api/alerts/history?limit=x", {}, 400),
        ("GET", "/api/alerts/history?status=odd", {}, 400),
        ("GET", "/api/alerts/history?from=odd", {}, 400),
        ("GET", "/api/alerts/history?from=2026-01-02&to=2026-01-01", {}, 400),
        ("GET", "/api/alerts/audit?kind=zzz", {}, 400),
        ("GET", "/api/alerts/audit?from=2026-01-02&to=2026-01-01", {}, 400),
        ("GET", "/api/notifications/history?status=sennt", {}, 400),
        ("GET", "/api/notifications/history?status=sent,bundled", {}, 200),
        ("GET", "/api/alerts/history/nobody", {}, 404),
        ("POST", "/api/alerts/history/nobody/ack", {"json": {}}, 404),
        ("POST", "/api/alerts/history/nobody/resolve", {"json": {}}, 404),
        ("POST", "/api/alerts/history/bulk", {"json": {"action": "explode", "ids": ["a"]}}, 422),
        ("POST", "/api/alerts/history/bulk", {"json": {"action": "resolve", "ids": []}}, 422),
        ("GET", "/api/alerts/stats?range=long", {}, 400),
        ("POST", "/api/notifications/channels", {"json": {"name": "x", "kind": "pigeon"}}, 422),
        ("POST", "/api/notifications/channels", {"json": {"name": "in-app", "kind": "in_app"}}, 409),
        ("GET", "/api/notifications/channels/nobody", {}, 404),
        ("POST", "/api/notifications/channels/nobody/test", {"json": {}}, 404),
        ("DELETE", "/api/notifications/channels/in-app", {}, 409),
        ("POST", "/api/notifications/channels/nobody/pagerduty", {"json": {}}, 404),
        ("POST", "/api/notifications/nobody/replay", {}, 404),
        ("POST", "/api/notifications/preview", {"json": {}}, 422),
        ("GET", "/api/analytics/aggregate", {}, 400),
        ("GET", "/api/analytics/aggregate?metrics=nope", {}, 422),
        ("GET", "/api/analytics/aggregate?metrics=cost&by=nope", {}, 422),
        ("GET", "/api/analytics/aggregate?metrics=cost&filter.nope=1", {}, 422),
        ("GET", "/api/analytics/aggregate?metrics=cost&range=0s", {}, 400),
        ("GET", "/api/analytics/aggregate?metrics=cost&tz=Mars", {}, 422),
        ("GET", "/api/analytics/aggregate?metrics=cost&limit=-1", {}, 400),
        ("GET", "/api/analytics/timeseries?metrics=cost&grain=eon", {}, 422),
        ("GET", "/api/analytics/timeseries?metrics=cost&grain=minute&range=300d", {}, 400),
        ("GET", "/api/alerts/history?to=0001-01-01T00:00:00&range=7d", {}, 400),
        ("GET", "/api/alerts/stats?from=0001-01-01T00:00:00%2B10:00", {}, 400),
        ("GET", "/api/analytics/timeseries?metrics=cost&to=9999-12-31T23:59:59", {}, 400),
        ("GET", "/nowhere", {}, 404),
        ("PATCH", "/api/alerts/rules", {}, 405),
    ],
)
async def test_bad_input_is_answered_with_a_problem_document(api, method, path, options, status):
    await ask(api, method, path, status, **options)


async def test_a_look_at_a_rule_shows_each_condition(api, store):
    rule_id = watch(
        store, when={"any": [COSTLY["when"], {"metric": "error_rate", "window": "5m", "op": ">", "value": 5}]}
    ).id
    spend(store, datetime.now(UTC) - 10 * SECOND, "2")
    answer = await ask(api, "POST", f"/api/alerts/rules/{rule_id}/test", json={})
    (group,) = answer["groups"]
    assert [(c["path"], c["truth"], c["value"]) for c in group["conditions"]] == [
        ("when.any[0]", "true", 2),
        ("when.any[1]", "false", 0),
    ]
    assert rows(store, "alerts", "id") == []


async def test_a_look_at_a_rule_that_fires_holds_it_to_its_recovery_threshold_and_a_draft_not(api, store):
    held = {**COSTLY, "when": {"metric": "cost", "window": "5m", "op": ">", "value": 500, "recovery": 450}}
    rule, now = watch(store, when=held["when"]), datetime.now(UTC).replace(microsecond=0)
    spend(store, now - 10 * MINUTE, "510")
    tick(store, [rule], now - 9 * MINUTE)
    spend(store, now - 10 * SECOND, "470")
    path = f"/api/alerts/rules/{rule.id}/test"
    asked = [await ask(api, "POST", path, json=body) for body in ({}, {"rule": held})]
    groups = [group for answer in asked for group in answer["groups"]]
    assert [(group["truth"], group["value"], group["threshold"]) for group in groups] == [
        ("true", 470, 450),
        ("false", 470, 500),
    ]
    notice = trial.of_rule(store, rule, now + SECOND)
    assert (notice.value, notice.threshold) == (470, 450)


async def test_a_simulation_of_too_many_groups_is_refused(api, store, monkeypatch):
    monkeypatch.setattr(ledger, "MOST_GROUP_EVALUATIONS", 10)
    for model in ("opus", "haiku"):
        spend(store, NOON, "2", model=model)
    asked = {"rule": {**COSTLY, "group_by": ["model"]}, "from": "2026-03-01T12:00:00Z", "to": "2026-03-01T12:10:00Z"}
    answer = await ask(api, "POST", "/api/alerts/simulate", 409, json=asked)
    assert answer["detail"] == "2 groups are too many to replay 10 times; ask for a shorter time"


async def test_a_simulation_lists_everything_oldest_first(api, store):
    for n, model in enumerate(("b", "a", "c", "b")):
        spend(store, NOON + 6 * n * MINUTE - SECOND, "2", model=model)
    body = {"rule": {**COSTLY, "group_by": ["model"]}, "from": NOON.isoformat(), "to": (NOON + 30 * MINUTE).isoformat()}
    made = await ask(api, "POST", "/api/alerts/simulate", json=body)
    for name, time in (("bands", "start"), ("transitions", "at"), ("notices", "time")):
        times = [one[time] for one in made[name]]
        assert times == sorted(times), name
        assert len(set(times)) > 2, name


async def test_a_simulation_says_what_the_live_engine_says(api, store):
    rule = watch(store, **{"for": "2m", "keep_firing_for": "1m"})
    for n in (0, 1, 2, 9):
        spend(store, NOON + n * MINUTE - SECOND, "1.5")
    live = []
    for n in range(20):
        tick(store, [rule], NOON + n * MINUTE)
    live = rows(store, "alert_events", "from_state", "to_state")
    body = {"rule_id": rule.id, "from": NOON.isoformat(), "to": (NOON + 20 * MINUTE).isoformat()}
    answer = await ask(api, "POST", "/api/alerts/simulate", json=body)
    assert [(t["before"], t["after"]) for t in answer["transitions"]] == live
    assert [n["reason"] for n in answer["notices"]] == [r for (r,) in rows(store, "notifications", "reason")]
    assert answer["totals"]["evaluations"] == 20


async def test_incidents_are_acknowledged_and_resolved(api, store):
    rule_id, alert_id = incident(store)
    (active,) = (await ask(api, "GET", "/api/alerts/active"))["items"]
    assert (active["id"], active["state"], active["current_value"]) == (alert_id, "firing", 2)
    path = f"/api/alerts/history/{alert_id}"
    acked = await ask(api, "POST", path + "/ack", json={"by": "grace", "comment": "on it"})
    assert (acked["alert"]["status"], acked["alert"]["acknowledged_by"]) == ("acknowledged", "grace")
    done = await ask(api, "POST", path + "/resolve", json={"by": "grace"})
    assert (done["alert"]["status"], done["alert"]["resolved_by"], done["alert"]["comment"]) == (
        "resolved",
        "grace",
        "on it",
    )
    assert [event["to_state"] for event in done["events"]] == ["firing", "normal"]
    assert [n["reason"] for n in done["notifications"]] == ["resolved", "first"]
    assert (done["more_notifications"], done["more_comments"]) == (False, False)
    await ask(api, "POST", path + "/ack", 409, json={})
    assert (await ask(api, "GET", "/api/alerts/active"))["items"] == []
    assert rules.get(store, rule_id).state == "normal"


async def test_a_bulk_is_all_or_nothing(api, store):
    _, alert_id = incident(store)
    body = {"action": "resolve", "ids": [alert_id, "nobody"]}
    await ask(api, "POST", "/api/alerts/history/bulk", 404, json=body)
    assert rows(store, "alerts", "status") == [("firing",)]
    done = await ask(api, "POST", "/api/alerts/history/bulk", json={**body, "ids": [alert_id]})
    assert done["items"] == [{"id": alert_id, "status": "resolved", "changed": True}]


async def test_history_is_filtered_and_paged(api, store):
    for name in ("alpha", "beta", "gamma"):
        incident(store, name=name)
    first = await ask(api, "GET", "/api/alerts/history?limit=2")
    rest = await ask(api, "GET", f"/api/alerts/history?limit=2&cursor={first['next']}")
    assert [alert["rule_name"] for alert in first["items"] + rest["items"]] == ["gamma", "beta", "alpha"]
    assert rest["next"] is None
    for query, count in (
        ("q=ALPH", 1),
        ("q=100%25", 0),
        (f"q={first['items'][0]['id']}", 1),
        ("status=resolved", 0),
        ("status=firing,resolved&severity=high", 3),
        (f"rule={first['items'][0]['rule_id']}", 1),
        (f"to={NOON.isoformat().replace('+', '%2B')}", 0),
        (f"from={NOON.isoformat()}", 3),
    ):
        found = await ask(api, "GET", f"/api/alerts/history?{query}")
        assert len(found["items"]) == count, query


async def test_statistics_count_what_happened(api, store):
    rule_id, alert_id = incident(store)
    from engine import incidents

    watch(store, name="Never")
    incidents.acknowledge(store, [alert_id], by="ada", at=NOON + MINUTE)
    tick(store, [again(store, rule_id)], NOON + 10 * MINUTE)
    span = f"from={(NOON - MINUTE).isoformat()}&to={(NOON + timedelta(hours=1)).isoformat()}".replace("+", "%2B")
    stats = await ask(api, "GET", f"/api/alerts/stats?{span}")
    assert (stats["incidents"], stats["open"], stats["mtta_s"], stats["mttr_s"]) == (1, 0, 60, 600)
    assert stats["by_rule"][0]["rule_name"] == "High cost"
    assert [rule["rule_name"] for rule in stats["never_fired"]] == ["Never"]
    empty = await ask(api, "GET", "/api/alerts/stats?from=2020-01-01&to=2020-01-02")
    assert (empty["incidents"], empty["mtta_s"], empty["by_rule"]) == (0, None, [])


async def test_a_failed_notification_is_sent_again_through_the_api(api, store):
    async with receiving(500, (200, {}, "thanks")) as receiver:
        form = {"url": receiver.url, "allow_private": True}
        document = {"name": "h", "kind": "webhook", "config": form}
        made = await ask(api, "POST", "/api/notifications/channels", 201, json=document)
        tried = await ask(api, "POST", f"/api/notifications/channels/{made['id']}/test", json={})
        path = f"/api/notifications/{tried['notification_id']}/replay"
        done = await ask(api, "POST", path, headers={"X-Actor": "grace"})
        assert (done["delivered"], done["answer"]) == (True, "thanks")
        await ask(api, "POST", path, 409)
    assert rows(store, "audit_log", "actor", "action")[-1] == ("grace", "replay")


async def test_channels_live_through_the_api_and_keep_their_secrets(api, store):
    async with receiving((200, {}, "pong")) as receiver:
        body = {"name": "hook", "kind": "webhook", "config": {"url": receiver.url, "allow_private": True}}
        made = await ask(api, "POST", "/api/notifications/channels", 201, json=body)
        assert made["new_secret"].startswith("whsec_")
        path = f"/api/notifications/channels/{made['id']}"
        shown = await ask(api, "GET", path)
        assert shown["config"]["secret"] == MASK
        assert "new_secret" not in shown
        tested = await ask(api, "POST", path + "/test", json={})
        assert (tested["delivered"], tested["status"], tested["answer"]) == (True, 200, "pong")
        rule_id = watch(store, notify=["hook"]).id
        tested = await ask(api, "POST", path + "/test", json={"rule_id": rule_id})
        assert json.loads(receiver.got[1].body)["data"]["title"] == "High cost"
    await ask(api, "DELETE", path, 409)
    assert (await ask(api, "PUT", path, json={"enabled": False}))["enabled"] is False
    await ask(api, "PUT", path, 409, json={"name": "other"})
    names = [channel["name"] for channel in (await ask(api, "GET", "/api/notifications/channels"))["items"]]
    assert names == ["hook", "in-app"]
    told = await ask(api, "GET", "/api/notifications/history")
    assert [(n["reason"], n["status"], len(n["attempts_made"])) for n in told["items"]] == [("test", "sent", 1)] * 2


async def test_money_keeps_every_digit(api, store):
    spend(store, NOON - SECOND, "123456789.123456789")
    span = "from=2026-03-01T11:00:00Z&to=2026-03-01T12:00:00Z"
    answer = await ask(api, "GET", f"/api/analytics/aggregate?metrics=requests,cost&by=model&{span}")
    assert answer["rows"] == [{"model": "opus", "requests": 1, "cost": Decimal("123456789.123456789")}]
    assert (answer["from"], answer["to"]) == ("2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z")


async def test_a_timeseries_has_every_bucket(api, store):
    spend(store, NOON - SECOND, "1", model="a")
    spend(store, NOON - 3 * MINUTE, "2", model="b")
    span = "from=2026-03-01T11:55:00Z&to=2026-03-01T12:00:00Z"
    answer = await ask(api, "GET", f"/api/analytics/timeseries?metrics=requests&grain=minute&filter.model=a&{span}")
    assert answer["grain"] == "minute"
    assert [row["requests"] for row in answer["rows"]] == [0, 0, 0, 0, 1]
    assert answer["rows"][0]["time"] == "2026-03-01T11:55:00Z"
    both = await ask(api, "GET", f"/api/analytics/aggregate?metrics=requests&filter.model=a,b&{span}")
    assert both["rows"] == [{"requests": 2}]


async def test_a_chart_of_a_providers_limit_has_gaps_where_nothing_is_known(api, store):
    times = {"minute": NOON - 3 * MINUTE, "at": NOON - 3 * MINUTE, "reset_at": NOON - 2 * MINUTE}
    place = {"proxy": "p", "provider": "openai", "credential": "", "limit": "tokens"}
    store.transact([keeping([LimitRow(**place, **times, used_percent=80.0, remaining=1.0, most=5.0)])])
    asked = "metrics=provider_limit_used&by=limit&grain=minute&filter.provider=openai"
    span = "from=2026-03-01T11:56:00Z&to=2026-03-01T12:00:00Z"
    answer = await ask(api, "GET", f"/api/analytics/timeseries?{asked}&{span}")
    assert [(row["limit"], row["provider_limit_used"]) for row in answer["rows"]] == [
        ("tokens", None),
        ("tokens", 80),
        ("tokens", None),
        ("tokens", None),
    ]


async def test_messages_are_pushed_counted_and_read(api):
    async with api.ws_connect("/ws/notifications") as socket:
        assert await socket.receive_json(timeout=60) == {"type": "unread", "unread": 0}
        await ask(api, "POST", "/api/notifications/channels/in-app/test", json={})
        message = await socket.receive_json(timeout=60)
        assert (message["type"], message["title"]) == ("message", "[TEST] [INFO] Test notification")
        box = await ask(api, "GET", "/api/notifications/inbox")
        assert (box["unread"], len(box["items"])) == (1, 1)
        await ask(api, "POST", "/api/notifications/inbox/read", json={"ids": [message["id"]]})
        assert await socket.receive_json(timeout=60) == {"type": "unread", "unread": 0}


async def test_without_a_store_everything_says_so_and_health_still_answers(config):
    desk = Desk(config, SecretBox(config.home))
    async with TestClient(TestServer(make_app(desk))) as api:
        for path in ("/api/alerts/rules", "/api/alerts/active", "/api/analytics/aggregate?metrics=cost"):
            await ask(api, "GET", path, 503)
        found = await ask(api, "GET", "/health")
    assert (found["status"], found["checks"]["store"]["ok"]) == ("degraded", False)


async def test_the_description_covers_every_route(api):
    document = await ask(api, "GET", "/api/openapi.json")
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(route.method, route.path) for route in ROUTES}


async def test_many_requests_at_once(api, store):
    watch(store)
    answers = await asyncio.gather(*(ask(api, "GET", "/api/alerts/rules") for _ in range(20)))
    assert all(len(answer["items"]) == 1 for answer in answers)


def test_the_simulator_stands_on_the_live_engines_instants(store):
    rule = watch(store, every="7m").rule
    found = ledger.simulate(store, rule, NOON, NOON + timedelta(hours=1))
    epoch = datetime(2020, 1, 1, tzinfo=UTC)
    assert (found.grid.start - epoch) % timedelta(minutes=7) == timedelta(0)
    assert NOON <= found.grid.start < NOON + timedelta(minutes=7)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost:8501"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
    ],
)
async def test_pages_of_other_sites_are_kept_out(api, headers, status):
    await ask(api, "GET", "/health", status, headers=headers)


async def test_a_silence_begins_and_ends(api):
    ends = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = await ask(api, "POST", "/api/alerts/silences", 201, json={"matchers": {"rule": "High*"}, "ends_at": ends})
    assert [item["id"] for item in (await ask(api, "GET", "/api/alerts/silences"))["items"]] == [made["id"]]
    await ask(api, "DELETE", f"/api/alerts/silences/{made['id']}")
    await ask(api, "DELETE", f"/api/alerts/silences/{made['id']}", 409)
    await ask(api, "DELETE", "/api/alerts/silences/nobody", 404)
    await ask(api, "POST", "/api/alerts/silences", 422, json={"matchers": {}, "ends_at": ends})


async def test_a_parameter_that_does_not_exist_is_named_not_ignored(api):
    answer = await api.get("/api/analytics/aggregate", params={"metrics": "cost", "model": "gpt-5"})
    assert answer.status == 400
    assert "there is no parameter 'model' here" in (await answer.json())["detail"]
    answer = await api.get("/api/analytics/aggregate", params={"metrics": "cost", "filter.model": "gpt-5"})
    assert answer.status == 200


async def test_the_main_metrics_over_all_and_by_model(api, store):
    spend(store, datetime.now(UTC) - MINUTE, "2", model="opus")
    spend(store, datetime.now(UTC) - MINUTE, "1", model="opus")
    spend(store, datetime.now(UTC) - MINUTE, "0.5", model="haiku")
    found = await ask(api, "GET", "/api/metrics/aggregate?range=1h&by=model")
    assert (found["totals"]["requests"], found["totals"]["cost"]) == (3, Decimal("3.5"))
    assert [(row["model"], row["requests"], row["cost"]) for row in found["rows"]] == [
        ("opus", 2, 3),
        ("haiku", 1, Decimal("0.5")),
    ]
    assert (await ask(api, "GET", "/api/metrics/aggregate?range=1h&by=model&limit=1"))["rows"][0]["model"] == "opus"
    alone = await ask(api, "GET", "/api/metrics/aggregate?range=1h&filter.model=haiku")
    assert (alone["totals"]["requests"], alone["rows"]) == (1, [])
    empty = await ask(api, "GET", "/api/metrics/aggregate?from=2020-01-01&to=2020-01-02&by=model")
    assert (empty["totals"]["requests"], empty["totals"]["error_rate"], empty["rows"]) == (0, None, [])


async def test_the_main_metrics_over_time(api, store):
    spend(store, NOON, "2")
    found = await ask(api, "GET", "/api/metrics/history?from=2026-03-01T11:00:00Z&to=2026-03-01T13:00:00Z&grain=hour")
    assert [(row["time"], row["requests"]) for row in found["rows"]] == [
        ("2026-03-01T11:00:00Z", 0),
        ("2026-03-01T12:00:00Z", 1),
    ]


async def test_sessions_come_page_by_page_with_their_agents(api, store):
    ended = int(datetime.now(UTC).timestamp() * 1e6) - 1_000_000
    calls = [("a", "", "1"), ("a", "scout", "2"), ("b", "", "9"), ("c", "", None)]
    records = [
        record(n, session=session, agent=agent, ended_at=ended + n, cost_usd=cost and Decimal(cost))
        for n, (session, agent, cost) in enumerate(calls, 1)
    ]
    store.put(record_table(records), spool_id="sessions", first=1, last=4)
    pages, cursor = [], ""
    while cursor is not None:
        page = await ask(api, "GET", f"/api/metrics/sessions?order=dearest&limit=1&cursor={cursor}")
        pages += page["items"]
        cursor = page["next"]
    assert [(item["session"], item["cost"]) for item in pages] == [("b", 9), ("a", 3), ("c", None)]
    assert [(agent["agent"], agent["cost"]) for agent in pages[1]["agents"]] == [("", 1), ("scout", 2)]
    newest = await ask(api, "GET", "/api/metrics/sessions?limit=2")
    assert [item["session"] for item in newest["items"]] == ["c", "b"]
    last = await ask(api, "GET", f"/api/metrics/sessions?limit=2&cursor={newest['next']}")
    assert ([item["session"] for item in last["items"]], last["next"]) == (["a"], None)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("sessions?order=cheapest", 400),
        ("sessions?cursor=nonsense", 400),
        ("sessions?cursor=WyIyMDI2IiwgNV0", 400),
        ("sessions?order=dearest&cursor=WyJJbmZpbml0eSIsICJhIl0", 400),
        ("sessions?limit=501", 400),
        ("sessions?filter.nope=1", 422),
        ("cache?filter.nope=1", 422),
        ("cache?limit=0", 400),
        ("cache?by=model", 400),
        ("aggregate?by=nope", 422),
        ("history?grain=eon", 422),
        ("history?range=400d&grain=minute", 400),
    ],
)
async def test_a_bad_question_for_metrics_is_a_problem(api, query, status):
    await ask(api, "GET", f"/api/metrics/{query}", status)


async def test_what_caches_saved(api, store):
    counts = {"uncached_input_tokens": 0, "cache_read_tokens": 100_000, "cache_write_5m_tokens": 0}
    now = datetime.now(UTC) - MINUTE
    records = [record(1, at=now, model="claude-haiku-4-5", **counts), record(2, at=now, model="strange", **counts)]
    store.put(record_table(records), spool_id="cache", first=1, last=2)
    found = await ask(api, "GET", "/api/metrics/cache")
    saved = {row["model"]: row["saved_usd"] for row in found["rows"]}
    assert saved == {"claude-haiku-4-5": Decimal("0.09"), "strange": None}  # 1 - 0.1 dollars a million
    assert (found["totals"]["saved_usd"], found["totals"]["cache_hit_rate"]) == (Decimal("0.09"), 100)


async def test_the_description_says_what_parameters_and_answers_are(api):
    document = await ask(api, "GET", "/api/openapi.json")
    history = document["paths"]["/api/alerts/history"]["get"]
    schemas = {parameter["name"]: parameter["schema"] for parameter in history["parameters"]}
    assert schemas["limit"] == {"type": "integer", "minimum": 1, "maximum": 500}
    assert schemas["status"]["items"]["enum"] == ["firing", "acknowledged", "resolved"]
    assert set(history["responses"]) == {"200", "400", "403", "503", "504"}
    making = document["paths"]["/api/alerts/rules"]["post"]
    assert making["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Rule"}
    assert {"201", "409", "413", "415", "422"} <= set(making["responses"])


async def test_jobs_are_shown_rehearsed_and_run(api, store):
    await ask(api, "GET", "/api/jobs", 503)
    api.desk.housekeeper = Housekeeper(store, [dropping(api.desk)], lambda: True)
    shown = {job["name"]: job for job in (await ask(api, "GET", "/api/jobs"))["items"]}
    assert shown["retention"]["last"] is None
    path = "/api/jobs/retention/run"
    assert (await ask(api, "POST", path, json={"dry_run": True}))["result"] == "everything is kept for ever"
    done = await ask(api, "POST", path, headers={"X-Actor": "ada"})
    assert (done["ok"], done["dry_run"]) == (True, False)
    (job,) = [job for job in (await ask(api, "GET", "/api/jobs"))["items"] if job["name"] == "retention"]
    assert (job["runs"], job["failures"], job["last"]["ok"]) == (1, 0, True)
    assert store.sql("SELECT actor FROM audit_log WHERE object_kind = 'job'")["actor"].to_list() == ["ada"]
    await ask(api, "POST", "/api/jobs/nonsense/run", 404)
    await ask(api, "POST", path, 422, json={"dry": True})


async def test_a_worker_that_stands_by_shows_what_the_leading_one_has_done(api, store):
    api.desk.housekeeper = Housekeeper(store, [dropping(api.desk)], lambda: False)
    leading = Housekeeper(store, [dropping(api.desk)], lambda: True)
    for runs in (1, 2):
        await leading.do("retention", by="ada")
        (job,) = [job for job in (await ask(api, "GET", "/api/jobs"))["items"] if job["name"] == "retention"]
        assert (job["runs"], job["last"]["ok"]) == (runs, True)


async def test_what_the_store_does_by_itself_is_shown_too(api, store, running):
    api.desk.housekeeper = Housekeeper(store, [], lambda: True)
    maintain(running.database, running.service, NOON)
    merging, moving = (await ask(api, "GET", "/api/jobs"))["items"]
    assert (merging["program"], merging["name"], merging["last"]["result"]) == ("store", "compaction", "0 rows fewer")
    assert (moving["program"], moving["name"], moving["last"]) == ("store", "checkpoint", None)
    refused = await ask(api, "POST", "/api/jobs/compaction/run", 409)
    assert refused["detail"] == "the store itself does compaction when it is due, and cannot be asked to"


async def test_prometheus_gets_the_workers_own_figures(api, store):
    incident(store)
    api.desk.status.ticks, api.desk.status.missed_ticks, api.desk.status.last_tick_ms = 7, 2, 1500.0
    api.desk.housekeeper = Housekeeper(store, [dropping(api.desk)], lambda: True)
    await api.desk.housekeeper.do("retention", by="ada")
    async with api.get("/metrics") as answer:
        assert (answer.status, answer.content_type) == (200, "text/plain")
        found = dict(line.rsplit(" ", 1) for line in (await answer.text()).splitlines() if not line.startswith("#"))
    assert found["claude_proxy_worker_ticks_total"] == "7.0"
    assert found["claude_proxy_worker_missed_ticks_total"] == "2.0"
    assert found["claude_proxy_worker_last_tick_seconds"] == "1.5"
    assert found['claude_proxy_job_runs_total{job="retention"}'] == "1.0"
    assert found['claude_proxy_job_running_seconds{job="retention"}'] == "0.0"
    assert found['claude_proxy_open_incidents{severity="high",status="firing"}'] == "1.0"
    assert found["claude_proxy_worker_notifications_pending"] == "1.0"
    assert found["claude_proxy_worker_store_up"] == "1.0"


async def test_the_workers_figures_are_there_without_a_store(config):
    async with TestClient(TestServer(make_app(Desk(config, SecretBox(config.home))))) as client:
        async with client.get("/metrics") as answer:
            text = await answer.text()
    assert "claude_proxy_worker_store_up 0.0" in text
    assert "notifications_pending" not in text


async def test_a_simulation_knows_silences_limits_and_digests(api, store, home):
    config = {"url": "http://127.0.0.1:9/", "allow_private": True, "burst": 1, "per_minute": 0.5}
    channel_store.create(store, SecretBox(home), {"name": "hook", "kind": "webhook", "config": config}, by="ada")
    rule = {**COSTLY, "group_by": ["model"], "grouping": False, "notify": ["hook"]}
    for model in ("a", "b", "c"):
        spend(store, NOON - SECOND, "2", model=model)
    silences.create(store, {"model": "c"}, ends_at=NOON + timedelta(hours=1), by="ada", now=NOON - MINUTE)
    body = {"rule": rule, "from": NOON.isoformat(), "to": (NOON + 4 * MINUTE).isoformat()}

    made = await ask(api, "POST", "/api/alerts/simulate", json=body)
    loud = await ask(api, "POST", "/api/alerts/simulate", json={**body, "silences": "none"})
    more = {"more_silences": [{"matchers": {"model": "?"}}]}
    quiet = await ask(api, "POST", "/api/alerts/simulate", json={**body, **more})

    told = [(n["labels"]["model"], n["reason"], n["held"]) for n in made["notices"]]
    assert told == [("a", "first", None), ("b", "rate_limited", "first"), ("c", "silenced", None)]
    assert made["notices"][1]["told_at"] == made["digests"][0]["time"] == "2026-03-01T12:02:00Z"
    assert made["totals"]["digests"] == made["totals"]["sent"] == {"hook": 1}
    day = {"day": "2026-03-01", "channel": "hook", "notices": 1, "digests": 1}
    assert made["noise"] == [{**day, "silent": {"rate_limited": 1, "silenced": 1}}]
    assert loud["totals"]["silent"] == {"rate_limited": 2}
    assert quiet["totals"]["silent"] == {"silenced": 3}


@pytest.mark.parametrize(
    ("fields", "kept"), [({}, ["first", "repeat", "repeat"]), ({"acknowledge_after": "90s"}, ["first", "acknowledged"])]
)
async def test_a_simulation_asks_what_if_somebody_acknowledges(api, store, fields, kept):
    spend(store, NOON - SECOND, "2")
    body = {"rule": {**COSTLY, "repeat": "2m"}, "from": NOON.isoformat(), "to": (NOON + 5 * MINUTE).isoformat()}
    made = await ask(api, "POST", "/api/alerts/simulate", json={**body, **fields})
    assert [n["reason"] for n in made["notices"]] == kept


@pytest.mark.parametrize(
    "fields", [{"silences": "some"}, {"more_silences": [{"matchers": {}}]}, {"acknowledge_after": "soon"}]
)
async def test_a_simulation_refuses_what_it_does_not_understand(api, fields):
    body = {"rule": COSTLY, "from": NOON.isoformat(), "to": (NOON + MINUTE).isoformat(), **fields}
    await ask(api, "POST", "/api/alerts/simulate", 422, json=body)


async def test_a_simulated_document_is_the_rule_whose_id_comes_with_it(api, store):
    self_inhibiting = {"inhibits": [{"match": {"team": "x"}}], "labels": {"team": "x"}, "group_by": ["model"]}
    rule_id, _ = incident(store, name="old name", **self_inhibiting)
    spend(store, NOON - SECOND, "2", model="haiku")
    document = {**COSTLY, **self_inhibiting, "name": "new name"}
    body = {"rule": document, "from": NOON.isoformat(), "to": (NOON + MINUTE).isoformat()}

    strange = await ask(api, "POST", "/api/alerts/simulate", json=body)
    known = await ask(api, "POST", "/api/alerts/simulate", json={**body, "rule_id": rule_id})
    silences.create(store, {"rule_id": rule_id}, ends_at=NOON + MINUTE, by="ada", now=NOON - MINUTE)
    silenced = await ask(api, "POST", "/api/alerts/simulate", json={**body, "rule_id": rule_id})

    assert strange["totals"]["silent"] == {"inhibited": 2}
    assert known["totals"]["silent"] == {}
    assert silenced["totals"]["silent"] == {"silenced": 2}
    await ask(api, "POST", "/api/alerts/simulate", 404, json={**body, "rule_id": "nobody"})


async def test_a_simulation_is_kept_quiet_by_the_recorded_incidents_of_others(api, store):
    source = watch(store, name="source", inhibits=[{"match": {"rule": "target"}}], notify=["in-app"])
    target = watch(store, name="target", notify=["in-app"], **{"for": "1m"})
    spend(store, NOON - SECOND, "2")
    spend(store, NOON + 7 * MINUTE - SECOND, "0.9")
    spend(store, NOON + 7 * MINUTE - SECOND, "0.9", model="haiku")
    for n in range(15):
        at = NOON + n * MINUTE
        if n == 9:
            incidents.resolve(
                store, [row["id"] for row in incidents.active(store) if row["rule_id"] == source.id], by="ada", at=at
            )
        tick(store, [source, target] if n < 9 else [target], at)
    found = store.sql("SELECT created_at, reason FROM notifications WHERE rule_id = ? ORDER BY id", [target.id]).rows()
    body = {"rule_id": target.id, "from": NOON.isoformat(), "to": (NOON + 15 * MINUTE).isoformat()}
    made = await ask(api, "POST", "/api/alerts/simulate", json=body)
    assert [(n["time"], n["reason"]) for n in made["notices"]] == [
        (f"{at:%Y-%m-%dT%H:%M:%SZ}", why) for at, why in found
    ]
    assert next(why for _, why in found) == "inhibited"
