"""Who may use the API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from data.config import WorkerConfig
from proxy.guard import Access, is_loopback
from proxy.server import client_handler, make_app
from tests.proxy.gateway import answer, client, gateway, provider
from tests.proxy.samples import MESSAGE, MESSAGES

TOKEN = "open sesame é"
#: Beyond loopback; only addresses of this machine are ever asked.
EVERYWHERE = "0.0.0.0"
SITE = "https://ops.example"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost:8501"}, 200),
        ({"Origin": "http://127.0.0.1:1"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example:8082"}, 403),
        ({"Host": "localhost:8082"}, 200),
        ({"Host": "[::1]:8082"}, 200),
    ],
)
async def test_the_api_answers_to_this_machine_only(tmp_path: Path, headers: dict[str, str], status: int):
    async with gateway(tmp_path, "http://127.0.0.1:9") as proxy, client() as c:
        async with c.get(f"{proxy.url}/api/system/stats", headers=headers) as got:
            assert got.status == status
            assert not [name for name in got.headers if name.lower().startswith("access-control")]
        async with c.get(f"{proxy.url}/ws/live", headers=headers) as got:
            assert got.status == (400 if status == 200 else 403)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_what_loopback_is(host: str, *, loopback: bool):
    assert is_loopback(host) == loopback


@asynccontextmanager
async def open_to_all(
    home: Path, url: str = "http://127.0.0.1:9", token: str = "", origins: tuple[str, ...] = (), **config: object
) -> AsyncIterator[str]:
    """A proxy that believes to listen everywhere; gives its address on this machine."""
    access = Access(EVERYWHERE, token, origins)
    async with gateway(home, url, **config) as proxy:
        parts = proxy.proxy.parts
        async with TestServer(make_app(parts, client_handler(parts), lambda: access)) as server:
            yield str(server.make_url("")).rstrip("/")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"authorization": f"bearer   {TOKEN} "}, 200),
        ({"x-claude-proxy-token": TOKEN}, 200),
        ({"x-claude-proxy-token": TOKEN, "Host": "gateway.example"}, 200),
        ({"x-claude-proxy-token": TOKEN, "Host": "gateway.example", "Origin": "https://gateway.example"}, 200),
        ({"x-claude-proxy-token": TOKEN, "Origin": "https://evil.example"}, 403),
        ({"x-claude-proxy-token": "wrong"}, 401),
        ({"x-claude-proxy-token": TOKEN[:-1]}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"x-claude-proxy-token": ""}, 401),
    ],
)
async def test_beyond_loopback_the_api_wants_its_token(tmp_path: Path, headers: dict[str, str], status: int):
    async with open_to_all(tmp_path, token=TOKEN) as url, client() as c:
        for path in ("/api/system/stats", "/metrics", "/api/openapi.json", "/api/system/nothing"):
            expected = 404 if status == 200 and path.endswith("nothing") else status
            async with c.get(url + path, headers=headers) as got:
                assert got.status == expected, path
                if status == 401:
                    assert got.headers["WWW-Authenticate"].startswith("Bearer")
                    assert TOKEN not in await got.text()
        async with c.get(url + "/ws/live", headers=headers) as got:
            assert got.status == (400 if status == 200 else status)
        async with c.get(url + "/health", headers=headers) as got:
            assert got.status == 200


async def test_without_a_token_only_clients_are_served_beyond_loopback(tmp_path: Path):
    async with provider(answer(MESSAGE)) as (base, _), open_to_all(tmp_path, base) as url, client() as c:
        async with c.post(f"{url}/v1/messages", data=MESSAGES) as got:
            assert got.status == 200
        for path in ("/api/system/stats", "/api/alerts/rules", "/metrics"):
            for headers in ({}, {"Authorization": "Bearer "}, {"x-claude-proxy-token": "anything"}):
                async with c.get(url + path, headers=headers) as got:
                    assert (got.status, got.content_type) == (401, "application/problem+json")
                    assert "Set proxy.api_token" in (await got.json(content_type=None))["detail"]


async def test_on_loopback_no_token_is_wanted(tmp_path: Path):
    settings = {"api_token": TOKEN}
    async with gateway(tmp_path, "http://127.0.0.1:9", settings=settings) as proxy, client() as c:
        assert (await c.get(f"{proxy.url}/api/system/stats")).status == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "x-real-ip", "Via", "x-forwarded-proto"])
async def test_what_a_web_server_on_this_machine_hands_on_is_not_from_this_machine(tmp_path: Path, header: str):
    settings = {"api_token": TOKEN}
    async with gateway(tmp_path, "http://127.0.0.1:9", settings=settings) as proxy, client() as c:
        assert (await c.get(f"{proxy.url}/api/system/stats", headers={header: "203.0.113.7"})).status == 401
        shown = {header: "203.0.113.7", "x-claude-proxy-token": TOKEN}
        assert (await c.get(f"{proxy.url}/api/system/stats", headers=shown)).status == 200


async def test_the_token_stays_here(tmp_path: Path):
    seen: list[dict[str, str]] = []

    async def worker(request: web.Request) -> web.Response:
        seen.append({name.lower(): value for name, value in request.headers.items()})
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", worker)
    shown = {"Authorization": f"Bearer {TOKEN}", "X-Claude-Proxy-Token": TOKEN, "X-Actor": "ada"}
    async with (
        TestServer(app) as server,
        gateway(
            tmp_path,
            "http://127.0.0.1:9",
            settings={"host": EVERYWHERE, "api_token": TOKEN},
            worker=WorkerConfig(port=server.port or 0),
        ) as proxy,
        client() as c,
        c.get(f"{proxy.url.replace(EVERYWHERE, '127.0.0.1')}/api/alerts/rules", headers=shown) as got,
    ):
        assert got.status == 200
    assert seen[0]["x-actor"] == "ada"
    assert TOKEN not in str(seen)


async def preflight(c: aiohttp.ClientSession, url: str, origin: str) -> aiohttp.ClientResponse:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    return await c.options(url, headers=asked)


async def test_pages_of_other_sites_are_kept_out_unless_they_are_named(tmp_path: Path):
    async with gateway(tmp_path, "http://127.0.0.1:9") as proxy, client() as c:
        got = await preflight(c, f"{proxy.url}/api/system/stats", SITE)
        assert got.status == 403
        assert "Access-Control-Allow-Origin" not in got.headers


@pytest.mark.parametrize("path", ["/api/system/stats", "/api/alerts/rules", "/metrics", "/api/nothing/at/all"])
async def test_a_named_site_may_ask(tmp_path: Path, path: str):
    async with gateway(tmp_path, "http://127.0.0.1:9", settings={"cors_origins": (SITE,)}) as proxy, client() as c:
        got = await preflight(c, proxy.url + path, SITE)
        assert got.status == 204
        assert got.headers["Access-Control-Allow-Origin"] == SITE
        assert "POST" in got.headers["Access-Control-Allow-Methods"]
        assert "authorization" in got.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Credentials" not in got.headers
        assert got.headers["Vary"] == "Origin"
        other = await preflight(c, proxy.url + path, "https://evil.example")
        assert other.status == 403
        assert "Access-Control-Allow-Origin" not in other.headers
        assert other.headers["Vary"] == "Origin"


async def test_answers_to_a_named_site_say_so_and_others_vary(tmp_path: Path):
    async def worker(_request: web.Request) -> web.Response:
        return web.json_response({"items": []})

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", worker)
    async with (
        TestServer(app) as server,
        gateway(
            tmp_path,
            "http://127.0.0.1:9",
            settings={"cors_origins": (SITE, "http://b.example")},
            worker=WorkerConfig(port=server.port or 0),
        ) as proxy,
        client() as c,
    ):
        for path in ("/api/system/stats", "/api/alerts/rules", "/api/system/nothing"):
            async with c.get(proxy.url + path, headers={"Origin": SITE}) as got:
                assert (got.headers["Access-Control-Allow-Origin"], got.headers["Vary"]) == (SITE, "Origin")
            async with c.get(proxy.url + path) as got:
                assert "Access-Control-Allow-Origin" not in got.headers
                assert got.headers["Vary"] == "Origin"


async def test_a_named_site_needs_the_token_beyond_loopback(tmp_path: Path):
    async with open_to_all(tmp_path, token=TOKEN, origins=(SITE,)) as url, client() as c:
        assert (await preflight(c, f"{url}/api/system/stats", SITE)).status == 204
        async with c.get(f"{url}/api/system/stats", headers={"Origin": SITE}) as got:
            assert (got.status, got.headers["Access-Control-Allow-Origin"]) == (401, SITE)
        async with c.get(f"{url}/api/system/stats", headers={"Origin": SITE, "x-claude-proxy-token": TOKEN}) as got:
            assert got.status == 200
