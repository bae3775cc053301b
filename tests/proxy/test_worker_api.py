"""The worker's API at the proxy's address."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from data.config import Config, ProviderConfig, ProxyConfig, WorkerConfig
from data.model import Protocol
from engine.sending import SEND_TIMEOUT_S
from proxy import worker_api
from proxy.program import running
from tests.proxy.gateway import TakingStore, client, provider
from tests.proxy.test_faults import hang


async def echo(request: web.Request) -> web.Response:
    body = await request.text()
    said = {"method": request.method, "path": request.path_qs, "body": body, "host": request.host}
    return web.json_response(said, status=201, headers={"ETag": '"7"'})


@pytest.fixture
async def worker() -> AsyncIterator[TestServer]:
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{rest:.*}", echo)
    async with TestServer(app) as server:
        yield server


def config(home: Path, port: int) -> Config:
    providers = {"anthropic": ProviderConfig(Protocol.ANTHROPIC, "http://127.0.0.1:9", name="anthropic")}
    return Config(home=home, proxy=ProxyConfig(port=0), worker=WorkerConfig(port=port), providers=providers)


async def test_requests_are_handed_on_as_they_are(tmp_path: Path, worker: TestServer):
    async with running(config(tmp_path, worker.port or 0), TakingStore()) as proxy, client() as c:
        got = await c.put(f"{proxy.url}/api/alerts/rules/1%2F2?x=%20y", data=b'{"a":1}')
        said = json.loads(await got.read())
        assert (got.status, got.headers["ETag"]) == (201, '"7"')
        assert said == {
            "method": "PUT",
            "path": "/api/alerts/rules/1%2F2?x=%20y",
            "body": '{"a":1}',
            "host": f"127.0.0.1:{worker.port}",
        }
        assert (await c.get(f"{proxy.url}/api/analytics/timeseries?metrics=cost")).status == 201


async def test_pages_of_other_sites_cannot_drive_the_worker(tmp_path: Path, worker: TestServer):
    async with running(config(tmp_path, worker.port or 0), TakingStore()) as proxy, client() as c:
        got = await c.post(f"{proxy.url}/api/alerts/rules", data=b"{}", headers={"Origin": "https://evil.example"})
        assert got.status == 403
        assert got.content_type == "application/problem+json"


async def test_without_a_worker_there_is_a_problem_document(tmp_path: Path):
    async with running(config(tmp_path, 9), TakingStore()) as proxy, client() as c:
        got = await c.get(f"{proxy.url}/api/notifications/history")
        assert (got.status, got.content_type) == (503, "application/problem+json")
        assert json.loads(await got.read())["title"] == "Worker unavailable"


async def test_a_large_body_is_handed_on(tmp_path: Path, worker: TestServer):
    async with running(config(tmp_path, worker.port or 0), TakingStore()) as proxy, client() as c:
        got = await c.post(f"{proxy.url}/api/alerts/rules", data=io.BytesIO(b"x" * 3_000_000))
        assert got.status == 201
        assert len(json.loads(await got.read())["body"]) == 3_000_000


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_over_the_limit_is_a_problem(
    tmp_path: Path, worker: TestServer, monkeypatch: pytest.MonkeyPatch, *, chunked: bool
):
    monkeypatch.setattr(worker_api, "_MAX_BODY_BYTES", 1000)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * 1001

    async with running(config(tmp_path, worker.port or 0), TakingStore()) as proxy, client() as c:
        got = await c.post(f"{proxy.url}/api/alerts/rules", data=pieces() if chunked else b"x" * 1001)
        assert (got.status, got.content_type) == (413, "application/problem+json")
        assert "1000 bytes" in json.loads(await got.read())["detail"]


async def test_a_worker_that_hangs_is_waited_for_in_vain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker_api, "HANGS_S", 0.2)
    async with (
        provider(hang) as (url, _),
        running(config(tmp_path, int(url.rpartition(":")[2])), TakingStore()) as proxy,
        client() as c,
    ):
        got = await c.get(f"{proxy.url}/api/alerts/rules")
        assert (got.status, got.content_type) == (504, "application/problem+json")


async def test_a_test_of_a_channel_is_waited_for_until_the_worker_has_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(worker_api, "HANGS_S", 0.2)

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        await asyncio.sleep(0.6)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{"error":"no answer today"}')

    async with (
        provider(late) as (url, _),
        running(config(tmp_path, int(url.rpartition(":")[2])), TakingStore()) as proxy,
        client() as c,
    ):
        got = await c.post(f"{proxy.url}/api/notifications/channels/c-1/test", data=b"{}")
        assert (got.status, await got.read()) == (200, b'{"error":"no answer today"}')


async def test_the_wait_for_a_worker_is_short_and_for_a_test_longer_than_the_receiver_is_waited_for():
    assert worker_api.HANGS_S <= 15
    assert worker_api.TRIES_S >= SEND_TIMEOUT_S + 10


async def test_pagerduty_needs_no_token_of_ours_and_everything_else_does(tmp_path: Path, worker: TestServer):
    at = config(tmp_path, worker.port or 0)
    from_elsewhere = {"X-Forwarded-For": "203.0.113.9", "Host": "alerts.example.com", "X-PagerDuty-Signature": "v1=0"}
    channel = "/api/notifications/channels/c-1"
    async with running(at, TakingStore()) as proxy, client() as c:
        got = await c.post(f"{proxy.url}{channel}/pagerduty", data=b" {}", headers=from_elsewhere)
        said = json.loads(await got.read())
        assert (got.status, said["body"], said["path"]) == (201, " {}", f"{channel}/pagerduty")
        large = await c.post(f"{proxy.url}{channel}/pagerduty", data=io.BytesIO(b" " * 1048577), headers=from_elsewhere)
        assert large.status == 413
        for method, path in (
            ("GET", f"{channel}/pagerduty"),
            ("POST", f"{channel}/test"),
            ("POST", f"{channel}%2Ftest/pagerduty"),
            ("POST", f"{channel}/../x/pagerduty"),
        ):
            refused = await c.request(method, URL(f"{proxy.url}{path}", encoded=True), headers=from_elsewhere)
            assert refused.status == 401, path
