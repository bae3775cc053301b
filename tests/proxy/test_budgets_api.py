import asyncio
import json
import time
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from data.connection import Connection
from data.tasks import Tasks
from proxy.budget.keeper import Keeper
from proxy.budget.reservation import Refusal, Reservation
from proxy.budget.upkeep import Upkeep
from proxy.budgets_api import BudgetsApi, routes
from proxy.lazy_store import LazyStore
from tests.proxy.budget_worlds import DOLLAR, Proxy, away, usd
from tests.proxy.spool_samples import ended, started

CORE = {"name": "core", "scope": {"kind": "team", "value": "core"}, "amount_usd": 1, "period": "month"}


class Api:
    """A proxy's budgets behind their routes."""

    def __init__(self, proxy, client):
        self.proxy = proxy
        self.client = client

    async def call(self, method, path, body=None, status=200, **headers):
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = body if body is None or isinstance(body, str) else json.dumps(body)
        async with self.client.request(method, path, data=data, headers=headers) as answer:
            assert answer.status == status, await answer.text()
            if status >= 400:
                assert answer.content_type == "application/problem+json"
            return json.loads(await answer.text())

    def spend(self, nano, **who):
        now_us = time.time_ns() // 1000
        start = started(**who)
        held = self.proxy.reserve(start, nano, now_us)
        if isinstance(held, Reservation):
            self.proxy.begin(start, held)
            self.proxy.end(held, ended(start.id, cost_usd=usd(nano), ended_at=now_us, **who))
        return held


@asynccontextmanager
async def serving(home, connect):
    proxy = Proxy(home)
    proxy.keeper = Keeper(home, proxy.spool.spool_id, connect)
    proxy.budgets.counting.keeper = proxy.keeper
    store = LazyStore(connect)
    upkeep = Upkeep(proxy.budgets, proxy.keeper)
    app = web.Application()
    for route in routes(BudgetsApi(proxy.budgets, upkeep, store.get)):
        app.router.add_route(route.method, route.path, route.handler)
    tasks = Tasks()
    tasks.start(upkeep.run(), name="budgets")
    try:
        async with TestClient(TestServer(app)) as client:
            yield Api(proxy, client)
    finally:
        await tasks.stop()
        store.close()
        proxy.close(time.time_ns() // 1000)


@pytest.fixture
async def api(running, config, home):
    async with serving(home, lambda: Connection.open(config)) as served:
        yield served


async def test_a_budget_that_is_made_holds_at_once(api):
    made = await api.call("POST", "/api/budget/configure", CORE, 201)
    assert made["version"] == 1
    assert made["document"]["amount_usd"] == 1
    assert isinstance(api.spend(DOLLAR, team="core"), Reservation)
    assert isinstance(api.spend(1, team="core"), Refusal)
    assert isinstance(api.spend(1, team="web"), Reservation)


async def test_status_shows_what_is_spent_held_and_left(api):
    await api.call("POST", "/api/budget/configure", {**CORE, "period": "day", "time_zone": "Europe/Zurich"}, 201)
    api.spend(200_000_000, team="core")
    api.proxy.reserve(started(team="core"), 300_000_000, time.time_ns() // 1000)
    (shown,) = (await api.call("GET", "/api/budget/status"))["items"]
    (group,) = shown["groups"]
    assert (group["value"], group["spent_usd"], group["held_usd"]) == ("core", 0.2, 0.3)
    assert (group["remaining_usd"], group["used_percent"], group["over_usd"]) == (0.5, 20, 0)
    assert (shown["counted"], shown["limit_usd"], shown["enforcement"]) == (True, 1, "hard")
    assert group["resets_at"] == shown["period_end"]
    assert shown["period_start"].endswith(("+01:00", "+02:00"))


async def test_status_is_of_whom_one_asks_for(api):
    await api.call("POST", "/api/budget/configure", CORE, 201)
    each = {"name": "each", "scope": {"kind": "user", "value": "*"}, "amount_usd": 5, "period": "once"}
    await api.call("POST", "/api/budget/configure", each, 201)
    for user in ("ann", "bob"):
        api.spend(100 if user == "ann" else 200, user=user)

    async def found(query):
        items = (await api.call("GET", f"/api/budget/status?{query}"))["items"]
        return {item["name"]: [group["value"] for group in item["groups"]] for item in items}

    assert await found("") == {"core": ["core"], "each": ["bob", "ann"]}
    assert await found("name=each&limit=1") == {"each": ["bob"]}
    assert await found("kind=user&value=ann") == {"each": ["ann"]}
    assert await found("kind=session") == {}
    await api.call("GET", "/api/budget/status?kind=planet", status=400)
    for limit in ("0", "x", "-1", "9999999999999", "1001", "²"):
        await api.call("GET", f"/api/budget/status?limit={limit}", status=400)


async def test_thresholds_show_as_events(api):
    await api.call("POST", "/api/budget/configure", {**CORE, "thresholds": [50, 80]}, 201)
    api.spend(600_000_000, team="core")
    (shown,) = (await api.call("GET", "/api/budget/status"))["items"]
    assert [event["threshold"] for event in shown["events"] if event["threshold"] != "forecast"] == ["50%"]
    assert shown["events"][0]["spent_usd"] == 0.6


async def test_a_raise_makes_room_at_once(api):
    await api.call("POST", "/api/budget/configure", CORE, 201)
    api.spend(DOLLAR, team="core")
    until = "2199-01-01T00:00:00Z"
    raised = await api.call(
        "POST", "/api/budget/raise", {"budget": "core", "amount_usd": 1, "until": until}, **{"X-Actor": "ann"}
    )
    assert raised["version"] == 2
    assert raised["document"]["raises"][0]["by"] == "ann"
    assert isinstance(api.spend(DOLLAR, team="core"), Reservation)
    await api.call("POST", "/api/budget/grant", {"budget": raised["id"], "amount_usd": "0.5"})
    assert isinstance(api.spend(500_000_000, team="core"), Reservation)
    assert isinstance(api.spend(1, team="core"), Refusal)


async def test_a_budget_is_changed_and_ended_by_id_or_name_and_version(api):
    made = await api.call("POST", "/api/budget/configure", CORE, 201)
    path = "/api/budget/configure"
    changed = await api.call("PUT", f"{path}?name=core&version=1", {**CORE, "amount_usd": 2})
    assert changed["version"] == 2
    await api.call("PUT", f"{path}?name=core&version=1", CORE, 409)
    await api.call("POST", path, CORE, 409)
    (listed,) = (await api.call("GET", path))["items"]
    assert listed == changed
    await api.call("DELETE", f"{path}?id={made['id']}&version=1", status=409)
    await api.call("DELETE", f"{path}?id={made['id']}&version=2")
    assert (await api.call("GET", path))["items"] == []
    assert (await api.call("GET", "/api/budget/status"))["items"] == []
    await api.call("DELETE", f"{path}?id={made['id']}", status=404)
    await api.call("DELETE", path, status=400)


@pytest.mark.parametrize(
    ("request_line", "body", "status", "said"),
    [
        ("POST configure", {**CORE, "amount_usd": -1}, 400, "amount_usd"),
        ("POST configure", {**CORE, "scope": {"kind": "team"}}, 400, "scope: a scope by team needs a value"),
        ("POST configure", "{", 400, "not JSON"),
        ("POST configure", [1], 400, "JSON object"),
        ("POST configure", {}, 400, "name: "),
        ("PUT configure?name=none", CORE, 404, "no budget 'none'"),
        ("PUT configure", CORE, 400, "id or name"),
        ("PUT configure?name=core&version=0", CORE, 400, "version"),
        ("POST raise", {"budget": "none", "amount_usd": 1, "until": "2199-01-01T00:00:00Z"}, 404, "'none'"),
        ("POST raise", {"budget": "core", "amount_usd": 0, "until": "2199-01-01T00:00:00Z"}, 400, "amount_usd"),
        ("POST raise", {"budget": "core", "amount_usd": 1, "until": "2001-01-01T00:00:00Z"}, 400, "until must come"),
        ("POST raise", {"budget": "core", "amount_usd": 1, "until": "9999-01-01T00:00:00Z"}, 400, "until"),
        ("POST grant", {"budget": "core", "amount_usd": 1, "colour": "red"}, 400, "colour"),
    ],
)
async def test_faults_are_problem_documents_that_name_the_field(api, request_line, body, status, said):
    method, path = request_line.split()
    told = await api.call(method, f"/api/budget/{path}", body, status)
    assert told["status"] == status
    assert said in told["detail"]


async def test_with_the_store_away_status_works_and_changes_are_refused(home):
    async with serving(home, away) as api:
        await api.call("GET", "/api/budget/status")
        await api.call("GET", "/api/budget/configure", status=503)
        await api.call("POST", "/api/budget/configure", CORE, 503)


async def test_another_proxy_of_the_home_learns_of_it(api, home):
    other = Proxy(home, "proxy-2")
    await api.call("POST", "/api/budget/configure", CORE, 201)
    now_us = time.time_ns() // 1000
    other.budgets.tick(now_us)
    assert isinstance(other.reserve(started(team="core"), 2 * DOLLAR, now_us), Refusal)
    other.close(now_us)


async def test_upkeep_folds_and_makes_durable_by_itself(api):
    await api.call("POST", "/api/budget/configure", CORE, 201)
    api.spend(5, team="core")
    async with asyncio.timeout(60):
        while api.proxy.keeper.durable < 1:
            await asyncio.sleep(0.01)


async def test_the_proxys_process_needs_neither_polars_nor_sqlalchemy():
    import subprocess
    import sys

    from tests.conftest import ROOT

    code = "import proxy.budgets_api, sys; print([m for m in ('polars', 'sqlalchemy', 'pandas') if m in sys.modules])"
    command = [sys.executable, "-c", code]
    done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
