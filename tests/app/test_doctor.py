"""The doctor against a real store, real servers and closed ports."""

import dataclasses

from aiohttp import web
from aiohttp.test_utils import TestServer

from app.doctor import Verdict, examine
from data.config import Config, ProviderConfig, ProxyConfig, UiConfig, WorkerConfig
from data.model import Protocol
from tests.engine.receivers import free_port


def silent(config: Config) -> Config:
    """The configuration with every port on something that nobody listens to."""
    return dataclasses.replace(
        config,
        proxy=ProxyConfig(port=free_port()),
        worker=WorkerConfig(port=free_port()),
        ui=UiConfig(port=free_port()),
    )


def provider(url: str) -> dict[str, ProviderConfig]:
    return {"acme": ProviderConfig(Protocol.OPENAI, url, api_key="sk-very-secret", name="acme")}


async def found(config: Config) -> dict[str, tuple[Verdict, str]]:
    return {f.subject: (f.verdict, f.detail) for f in await examine(config, {})}


async def test_what_does_not_run_is_missing_and_an_unreachable_provider_is_a_fault(config):
    config = dataclasses.replace(silent(config), providers=provider(f"http://127.0.0.1:{free_port()}"))
    findings = await found(config)
    assert [findings[name][0] for name in ("store", "proxy", "worker", "app")] == [Verdict.MISSING] * 4
    assert findings["provider acme"][0] is Verdict.FAULT
    assert findings["home"][0] is Verdict.OK


async def test_what_runs_is_ok_and_no_secret_is_shown(config, served):
    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    app = web.Application()
    app.router.add_get("/health", health)
    async with TestServer(app) as server:
        running = dataclasses.replace(
            silent(config),
            proxy=ProxyConfig(port=server.port),
            providers=provider(str(server.make_url(""))),
        )
        findings = await found(running)
    assert [findings[name][0] for name in ("store", "proxy", "provider acme", "key for acme")] == [Verdict.OK] * 4
    assert "sk-very-secret" not in str(findings)


async def test_a_degraded_program_is_a_fault_with_its_own_words(config):
    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "degraded", "checks": {"store": "away"}}, dumps=_compact)

    app = web.Application()
    app.router.add_get("/health", health)
    async with TestServer(app) as server:
        findings = await found(dataclasses.replace(silent(config), proxy=ProxyConfig(port=server.port)))
    verdict, detail = findings["proxy"]
    assert verdict is Verdict.FAULT
    assert "away" in detail


def _compact(value: object) -> str:
    import json

    return json.dumps(value, separators=(",", ":"))
