"""The proxy's own API: state, health, metrics, the live socket, and who may use it."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from data.config import Config, ProviderConfig, ProxyConfig
from data.model import Protocol
from proxy.admission import shared_limits
from proxy.admission.shared_limits import SharedLimits
from proxy.health import Condition, Status, checks, overall
from proxy.program import running
from tests.proxy.gateway import Gateway, NoStore, TakingStore, answer, client, gateway, provider, until
from tests.proxy.samples import MESSAGE, MESSAGES

GOOD = {
    "store_trouble": "",
    "spool_bytes": 0,
    "spool_records": 0,
    "spool_warn_bytes": 100,
    "spool_trouble": "",
    "providers": 1,
    "stopping": False,
}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, Status.OK),
        ({"store_trouble": "refused"}, Status.DEGRADED),
        ({"spool_bytes": 101}, Status.DEGRADED),
        ({"spool_trouble": "disk full"}, Status.FAILING),
        ({"budget_trouble": "no file"}, Status.DEGRADED),
        ({"limits_trouble": "no file"}, Status.DEGRADED),
        ({"keys_missing": True}, Status.FAILING),
        ({"providers": 0}, Status.FAILING),
        ({"stopping": True, "store_trouble": "gone"}, Status.FAILING),
    ],
    ids=[
        "well",
        "store down",
        "long spool",
        "disk full",
        "no budgets",
        "no limits",
        "no keys",
        "no provider",
        "stopping",
    ],
)
def test_health_is_the_worst_check(change: dict[str, object], status: Status):
    assert overall(checks(Condition(**{**GOOD, **change}))) is status  # type: ignore[arg-type]


async def call(proxy: Gateway, c: aiohttp.ClientSession, **headers: str) -> None:
    async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES, headers=headers) as got:
        await got.read()


async def read(c: aiohttp.ClientSession, url: str, **headers: str):
    async with c.get(url, headers=headers) as got:
        return got.status, json.loads(await got.read())


async def test_health_says_that_the_limits_of_keys_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shared_limits, "PATIENCE_S", 0.0)
    other = SharedLimits(tmp_path / "limits", "other")
    other.tick()
    for path in (tmp_path / "limits").glob("limits.sqlite*"):
        path.write_bytes(b"no database" * 1000)
    providers = {"anthropic": ProviderConfig(Protocol.ANTHROPIC, "http://127.0.0.1:9", name="anthropic")}
    config = Config(home=tmp_path, proxy=ProxyConfig(port=0), providers=providers)
    async with running(config, TakingStore()) as proxy, client() as c:
        status, body = await read(c, f"{proxy.url}/health")
    other.close()
    assert (status, body["status"], body["checks"]["limits"]["status"]) == (200, "degraded", "degraded")
    assert "sqlite" in body["checks"]["limits"]["detail"]


async def test_health_says_that_the_store_is_gone_and_calls_are_served_all_the_same(tmp_path: Path):
    async with provider(answer(MESSAGE)) as (url, _), gateway(tmp_path, url, store=NoStore()) as proxy, client() as c:
        await call(proxy, c)

        async def said() -> dict[str, object]:
            status, body = await read(c, f"{proxy.url}/health")
            assert status == 200
            return body

        async with asyncio.timeout(60):
            while (body := await said())["status"] == "ok":
                await asyncio.sleep(0.01)
        assert body["status"] == "degraded"
        assert "no store in this test" in body["checks"]["store"]["detail"]
        _, spool = await read(c, f"{proxy.url}/api/system/spool")
        assert spool["records"] == 1


async def test_health_with_a_store(tmp_path: Path):
    store = TakingStore()
    async with provider(answer(MESSAGE)) as (url, _), gateway(tmp_path, url, store=store) as proxy, client() as c:
        await call(proxy, c)
        await until(lambda: len(store.taken) == 1)
        assert (await read(c, f"{proxy.url}/health"))[1]["status"] == "ok"
        assert (await read(c, f"{proxy.url}/api/system/health"))[1]["status"] == "ok"


async def test_stats_and_feed(tmp_path: Path):
    async with provider(answer(MESSAGE)) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        for _ in range(3):
            await call(proxy, c, **{"x-claude-proxy-project": "apollo"})
        _, stats = await read(c, f"{proxy.url}/api/system/stats")
        assert stats["totals"]["requests"] == 3
        assert stats["providers"]["anthropic"]["requests_per_second"] > 0
        assert "recent" not in stats
        _, feed = await read(c, f"{proxy.url}/api/system/request-feed?limit=2")
        assert [item["number"] for item in feed["items"]] == [3, 2]
        assert feed["items"][0]["project"] == "apollo"
        assert feed["next"] == "3"
        _, later = await read(c, f"{proxy.url}/api/system/request-feed?after=3")
        assert later == {"items": [], "next": "3"}
        assert (await read(c, f"{proxy.url}/api/system/request-feed?limit=x"))[0] == 400


async def test_providers_never_show_their_key(tmp_path: Path):
    async with gateway(tmp_path, "http://127.0.0.1:9", api_key="sk-secret") as proxy, client() as c:
        _, body = await read(c, f"{proxy.url}/api/system/providers")
    assert {item["own_key"] for item in body["items"]} == {True}
    assert "secret" not in json.dumps(body)


async def test_metrics_carry_the_genai_names(tmp_path: Path):
    async with provider(answer(MESSAGE)) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        await call(proxy, c)
        async with c.get(f"{proxy.url}/metrics") as got:
            text = await got.text()
    labels = 'gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="claude-sonnet-4-5"'
    assert f"gen_ai_client_token_usage_sum{{{labels}" in text
    assert 'le="6.7108864e+07"' in text
    assert 'le="81.92"' in text
    assert 'claude_proxy_requests_total{endpoint="messages",outcome="ok",provider="anthropic",status="200"} 1.0' in text
    assert "claude_proxy_spool_bytes" in text
    assert "key-" not in text


async def test_models_that_clients_make_up_do_not_grow_the_metrics_for_ever(tmp_path: Path):
    wire = answer(b'{"type":"error","error":{"type":"not_found_error","message":"?"}}', status="404 Not Found")
    async with provider(wire) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        for number in range(600):
            async with c.post(f"{proxy.url}/v1/messages", data=json.dumps({"model": f"m{number}"})) as got:
                await got.read()
        async with c.get(f"{proxy.url}/metrics") as got:
            text = await got.text()
    assert 'gen_ai_request_model="m10"' in text
    assert 'gen_ai_request_model="other"' in text
    assert 'gen_ai_request_model="m599"' not in text


async def test_the_live_socket_tells_the_state_and_new_calls(tmp_path: Path):
    async with provider(answer(MESSAGE)) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        await call(proxy, c)
        async with c.ws_connect(f"{proxy.url}/ws/live") as socket:
            first = json.loads(await asyncio.wait_for(socket.receive_str(), 60))
            assert first["totals"]["requests"] == 1
            assert [item["number"] for item in first["recent"]] == [1]
            await call(proxy, c)
            second = json.loads(await asyncio.wait_for(socket.receive_str(), 60))
            assert [item["number"] for item in second["recent"]] == [2]
            assert {"time", "in_flight", "requests_per_second", "cost_per_minute", "latency_p50_ms"} <= set(second)


async def test_listeners_are_told_when_the_proxy_stops(tmp_path: Path):
    async with client() as c:
        async with gateway(tmp_path, "http://127.0.0.1:9") as proxy:
            socket = await c.ws_connect(f"{proxy.url}/ws/live")
            await socket.receive_str()
        closing = await asyncio.wait_for(socket.receive(), 60)
        assert (closing.type, closing.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY)
        await socket.close()


@pytest.mark.parametrize(
    ("asked", "headers", "status", "shape"),
    [
        ("GET /v1/nothing", {"x-api-key": "k"}, 404, "anthropic"),
        ("GET /v1/nothing", {}, 404, "openai"),
        ("GET /v1/messages", {}, 405, "anthropic"),
        ("DELETE /v1/chat/completions", {}, 405, "openai"),
        ("GET /ws/nothing", {}, 404, "problem"),
        ("POST /api/system/stats", {}, 405, "problem"),
    ],
)
async def test_what_is_not_there(tmp_path: Path, asked: str, headers: dict[str, str], status: int, shape: str):
    method, path = asked.split(" ")
    async with gateway(tmp_path, "http://127.0.0.1:9") as proxy, client() as c:
        got = await c.request(method, proxy.url + path, headers=headers)
        body = json.loads(await got.read())
    assert got.status == status
    found = "anthropic" if body.get("type") == "error" else "openai" if "error" in body else "problem"
    assert found == shape
    assert proxy.records == []
