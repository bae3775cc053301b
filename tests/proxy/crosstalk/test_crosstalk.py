"""Conversations at the running proxy, with a real store: what is said, what it costs, and how it ends."""

import asyncio
import json
import logging
from decimal import Decimal

import pytest

from data.budgets import Budget
from data.config import KeysConfig
from data.store import connect
from tests.proxy.crosstalk.world import ANN, BOB, message, simulated, world
from tests.proxy.gateway import answer, provider, until

ONE_PROTOCOL = {"participants": [ANN, {**ANN, "name": "Bob"}]}
#: What a turn of `message` costs: 10 tokens in, 5 out.
TURN_USD = Decimal("0.00006")


async def held(reader, writer) -> None:
    """A provider that never answers."""
    await asyncio.Event().wait()


async def test_two_models_of_two_protocols_talk_and_the_ledger_agrees(running, config):
    async with simulated() as url, world(config, url) as at:
        begun = await at.begin(max_turns=5, project="apollo", tags={"kind": "test"})
        assert (begun["status"], begun["turns"], begun["document"]["topic"]) == ("running", 0, "Is water wet?")
        done = await at.ended(begun["id"])
        said = await at.said(begun["id"])
        await at.shipped()
        stats = await at.ask("GET", "/api/system/crosstalk-stats")
    assert (done["status"], done["reason"], done["turns"]) == ("finished", "max_turns", 5)
    assert [each["participant"] for each in said] == ["Ann", "Bob", "Ann", "Bob", "Ann"]
    assert all(each["text"] and each["stored"] for each in said)
    with_store = connect(config)
    rows = with_store.sql("SELECT * FROM requests WHERE session = ? ORDER BY started_at", [begun["id"]]).to_dicts()
    with_store.close()
    assert [(row["agent"], row["provider"], row["protocol"], row["outcome"]) for row in rows] == [
        (name, {"Ann": "claude", "Bob": "gpt"}[name], "anthropic", "ok") for name in ("Ann", "Bob", "Ann", "Bob", "Ann")
    ]
    assert {(row["project"], row["tags"]) for row in rows} == {("apollo", '{"kind":"test"}')}
    for row, each in zip(rows, said, strict=True):
        counted = row["uncached_input_tokens"] + row["cache_read_tokens"] + row["cache_write_5m_tokens"]
        assert (each["input_tokens"], each["output_tokens"]) == (counted, row["output_tokens"])
        assert (each["request_id"], each["model"]) == (row["request_id"], row["model"])
        assert Decimal(str(each["cost_usd"])) == row["cost_usd"] > 0
    cost = sum(row["cost_usd"] for row in rows)
    sums = {name: sum(each[name] for each in said) for name in ("input_tokens", "output_tokens")}
    assert {name: done[name] for name in sums} == {name: stats[name] for name in sums} == sums
    assert Decimal(str(done["cost_usd"])) == Decimal(str(stats["cost_usd"])) == cost
    assert (stats["requests"], stats["messages"], stats["mean_turns"], stats["running"]) == (5, 5, 5, 0)
    assert stats["sessions"] == {"running": 0, "finished": 1, "stopped": 0, "failed": 0, "interrupted": 0}
    assert [each["requests"] for each in stats["models"]] == [3, 2]
    assert sum(Decimal(str(each["cost_usd"])) for each in stats["models"]) == cost
    assert stats["mean_turn_ms"] > 0


async def test_each_is_sent_what_the_others_said(running, config):
    async with provider(message("one"), message("two"), message("three")) as (url, seen), world(config, url) as at:
        begun = await at.begin(**ONE_PROTOCOL, max_turns=3)
        await at.ended(begun["id"])
    last = json.loads(seen.bodies[2])
    assert [(each["role"], each["content"]) for each in last["messages"]] == [
        ("user", "Is water wet?"),
        ("assistant", "one"),
        ("user", "Bob: two"),
    ]


@pytest.mark.parametrize(
    ("change", "reason", "turns"),
    [
        ({"stop_phrase": "AGREED"}, "stop_phrase", 3),
        ({"max_turns": 2}, "max_turns", 2),
        ({"max_cost_usd": "0.00012"}, "max_cost", 2),
        ({"max_cost_usd": "0.000121"}, "stop_phrase", 3),
    ],
    ids=["phrase", "turns", "cost reached", "cost not reached"],
)
async def test_it_ends_as_its_document_says(running, config, change, reason, turns):
    answers = (message("one"), message("two"), message("AGREED"), message("too much"))
    async with provider(*answers) as (url, seen), world(config, url) as at:
        done = await at.ended((await at.begin(**{**ONE_PROTOCOL, "stop_phrase": "AGREED", **change}))["id"])
    assert (done["status"], done["reason"], done["turns"], len(seen.bodies)) == ("finished", reason, turns, turns)
    assert Decimal(str(done["cost_usd"])) == turns * TURN_USD


@pytest.mark.parametrize(
    ("answers", "ending"),
    [
        ((message("one"), answer(b"{}", status="500 Nope")), ("http_500", 1, "status 500")),
        ((message("one"), message("")), ("empty_answer", 2, "end_turn")),
        ((answer(b"not json"),), ("unreadable_answer", 0, "no message")),
    ],
    ids=["error", "empty", "garbage"],
)
async def test_a_turn_that_cannot_be_had_ends_it_as_failed(running, config, answers, ending):
    reason, turns, told = ending
    async with provider(*answers) as (url, _), world(config, url) as at:
        done = await at.ended((await at.begin(**ONE_PROTOCOL))["id"])
    assert (done["status"], done["reason"], done["turns"]) == ("failed", reason, turns)
    assert told in done["message"]


async def test_a_providers_error_is_told_without_secrets(running, config):
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"no room for sk-ant-creators-own-key"}}'
    async with provider(answer(body, status="529 Overloaded")) as (url, _), world(config, url) as at:
        begun = await at.begin(**ONE_PROTOCOL, headers={"x-api-key": "sk-ant-creators-own-key"})
        done = await at.ended(begun["id"])
    assert (done["status"], done["reason"], done["message"]) == ("failed", "overloaded_error", "no room for [masked]")


async def test_without_a_price_a_limit_of_cost_cannot_be_held(running, config):
    unknown = {"participants": [{"name": name, "model": "claude-unheard-of"} for name in ("Ann", "Bob")]}
    answers = (message("one", model="claude-unheard-of"),)
    async with provider(*answers) as (url, _), world(config, url, prices=()) as at:
        limited = await at.ended((await at.begin(**unknown, max_turns=3, max_cost_usd=1))["id"])
        free = await at.ended((await at.begin(**unknown, max_turns=3))["id"])
    assert (limited["status"], limited["reason"], limited["turns"]) == ("failed", "cost_unknown", 1)
    assert (free["status"], free["turns"], free["cost_usd"]) == ("finished", 3, None)


async def test_stopping_gives_up_the_turn_under_way_and_is_counted(running, config):
    async with provider(message("one"), held) as (url, seen), world(config, url) as at:
        begun = await at.begin(**ONE_PROTOCOL)
        await until(lambda: len(seen.bodies) == 2)
        path = f"/api/crosstalk/sessions/{begun['id']}/stop"
        stopped = await at.ask("POST", path)
        assert (stopped["status"], stopped["reason"], stopped["turns"]) == ("stopped", "stopped", 1)
        again = await at.ask("POST", path)
        assert (again["status"], again["ended_at"]) == (stopped["status"], stopped["ended_at"])
        done = await at.ended(begun["id"])
        await at.shipped()
        stats = await at.ask("GET", "/api/system/crosstalk-stats")
    assert [row.outcome for row in at.proxy.records] == ["ok", "disconnected"]
    # what the turn that was given up may have cost is in both
    assert Decimal(str(done["cost_usd"])) == Decimal(str(stats["cost_usd"])) > TURN_USD
    assert (stats["requests"], stats["messages"], stats["sessions"]["stopped"]) == (2, 1, 1)


async def test_where_keys_are_required_it_takes_a_valid_one_which_is_nowhere_to_be_seen(running, config, caplog):
    caplog.set_level(logging.DEBUG)
    keys = KeysConfig(required=True)
    async with provider(message("one")) as (url, seen), world(config, url, keys=keys) as at:
        secret = (await at.ask("POST", "/api/keys", {"name": "ci", "team": "core"}, status=201))["secret"]
        for headers in ({}, {"x-api-key": secret + "x"}, {"x-api-key": "sk-ant-not-virtual"}):
            refused = await at.begin(**ONE_PROTOCOL, headers=headers, status=401)
            assert "key" in refused["detail"]
        done = [
            await at.ended((await at.begin(**ONE_PROTOCOL, headers=headers, max_turns=2))["id"])
            for headers in ({"x-api-key": secret}, {"authorization": f"Bearer {secret}"})
        ]
        await at.shipped()
        shown = [await at.ask("GET", path) for path in ("/api/crosstalk/sessions", "/api/system/request-feed")]
        assert [each["status"] for each in done] == ["finished", "finished"]
    assert {(row.key, row.team, row.outcome) for row in at.proxy.records} == {("ci", "core", "ok")}
    assert all(secret.encode() not in head for head in seen.heads)
    written = b"".join(path.read_bytes() for path in config.home.rglob("*") if path.is_file())
    assert secret.encode() not in written
    assert secret not in caplog.text + str(shown)


async def test_the_apis_token_is_not_sent_to_a_provider(running, config):
    settings = {"port": 0, "drain_s": 5.0, "api_token": "the-token"}
    async with provider(message("one")) as (url, seen), world(config, url, settings=settings, api_key="") as at:
        for headers in ({"Authorization": "Bearer the-token"}, {"x-claude-proxy-token": "the-token", "x-api-key": "k"}):
            done = await at.ended((await at.begin(**ONE_PROTOCOL, headers=headers, max_turns=1))["id"])
            assert done["status"] == "finished"
    assert all(b"the-token" not in head for head in seen.heads)
    assert [b"x-api-key: k" in head for head in seen.heads] == [False, True]


async def test_a_budget_refuses_a_turn_and_the_reason_is_told(running, config):
    async with provider(message("one", output=50)) as (url, seen), world(config, url) as at:
        budget = Budget(name="talks", amount_usd=Decimal("0.00105"), period="day")
        await at.ask("POST", "/api/budget/configure", budget.model_dump(mode="json", exclude_unset=True), status=201)
        people = [{**each, "max_tokens": 60} for each in ONE_PROTOCOL["participants"]]
        done = await at.ended((await at.begin(participants=people))["id"])
    assert (done["status"], done["turns"]) == ("failed", len(seen.bodies))
    assert 0 < done["turns"] < 10
    assert "budget" in done["message"]


async def test_so_many_at_once_as_are_allowed(running, config):
    settings = {"port": 0, "drain_s": 5.0, "crosstalk_sessions": 2}
    async with provider(held) as (url, _), world(config, url, settings=settings) as at:
        begun = [await at.begin(**ONE_PROTOCOL) for _ in range(2)]
        refused = await at.begin(**ONE_PROTOCOL, status=429)
        assert refused["title"] == "Too Many Requests"
        await at.ask("POST", f"/api/crosstalk/sessions/{begun[0]['id']}/stop")
        await at.ended(begun[0]["id"])
        await until(lambda: at.proxy.proxy.parts.crosstalk.find(begun[0]["id"]) is None)
        await at.begin(**ONE_PROTOCOL)
        assert (await at.ask("GET", "/api/system/crosstalk-stats"))["running"] == 2


async def test_pages(running, config):
    async with provider(message("x")) as (url, _), world(config, url) as at:
        ids = [(await at.ended((await at.begin(**ONE_PROTOCOL, max_turns=4))["id"]))["id"] for _ in range(3)]
        first = await at.ask("GET", "/api/crosstalk/sessions?limit=2")
        second = await at.ask("GET", f"/api/crosstalk/sessions?limit=2&cursor={first['next']}")
        assert [each["id"] for each in first["items"] + second["items"]] == ids[::-1]
        assert second["next"] is None
        none = await at.ask("GET", "/api/crosstalk/sessions?status=failed")
        assert none == {"items": [], "next": None}
        path = f"/api/crosstalk/sessions/{ids[0]}/messages?limit=3"
        some = await at.ask("GET", path)
        rest = await at.ask("GET", f"{path}&after={some['next']}")
        assert [each["turn"] for each in some["items"] + rest["items"]] == [1, 2, 3, 4]
        assert rest["next"] is None


async def test_what_was_said_is_forgotten_when_it_is_asked_for_and_the_ledger_keeps_the_calls(running, config):
    async with provider(message("one"), message("two"), held) as (url, seen), world(config, url) as at:
        done = await at.ended((await at.begin(**ONE_PROTOCOL, max_turns=2))["id"])
        path = f"/api/crosstalk/sessions/{done['id']}"
        await until(lambda: at.proxy.proxy.parts.crosstalk.find(done["id"]) is None)
        begun = await at.begin(**ONE_PROTOCOL)
        await until(lambda: len(seen.bodies) == 3)
        await at.ask("DELETE", f"/api/crosstalk/sessions/{begun['id']}", status=409)
        async with at.http.delete(at.proxy.url + path) as got:
            assert (got.status, await got.read()) == (204, b"")
        await at.ask("GET", path, status=404)
        await at.ask("DELETE", path, status=404)
        await at.ask("POST", f"/api/crosstalk/sessions/{begun['id']}/stop")
        await at.shipped()
    client = connect(config)
    counts = "SELECT (SELECT count(*) FROM crosstalk_messages), (SELECT count(*) FROM requests WHERE session = ?)"
    assert client.sql(counts, [done["id"]]).row(0) == (0, 2)
    client.close()


@pytest.mark.parametrize("path", ["x", "00000000-0000-0000-0000-000000000000", "%00", "a%2Fb"])
async def test_one_that_does_not_exist(running, config, path):
    async with world(config, "http://127.0.0.1:9") as at:
        await at.ask("GET", f"/api/crosstalk/sessions/{path}", status=404)
        await at.ask("GET", f"/api/crosstalk/sessions/{path}/messages", status=404)
        await at.ask("POST", f"/api/crosstalk/sessions/{path}/stop", status=404)


async def test_a_fault_names_its_field(running, config):
    async with world(config, "http://127.0.0.1:9") as at:
        found = await at.begin(participants=[ANN, {**BOB, "temperature": 3}], max_turns=0, status=400)
        assert "participants.1.temperature" in found["detail"]
        assert "max_turns" in found["detail"]
