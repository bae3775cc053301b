"""The running proxy with a real store, before an Anthropic and an OpenAI provider, and what is asked of it."""

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer

from data.config import Config, PriceOverride, ProviderConfig
from data.connection import Connection
from data.model import Protocol
from data.route_config import RouteConfig
from proxy.simulated.server import make_app
from proxy.simulated.settings import SimulatedSettings
from tests.proxy.gateway import Gateway, answer, gateway, until

PRICES = (PriceOverride("*", Decimal(1), Decimal(10)),)
ROUTES = (RouteConfig("gpt-*", "gpt"), RouteConfig("claude-*", "claude"))
#: What one says to the other, with the longest answers that a simulated provider gives.
ANN, BOB = {"name": "Ann", "model": "claude-opus-4-5"}, {"name": "Bob", "model": "gpt-5"}
DOCUMENT = {"topic": "Is water wet?", "participants": [ANN, BOB]}
OVER = {"finished", "stopped", "failed", "interrupted"}


@dataclass
class World:
    """The proxy, and a client of it."""

    proxy: Gateway
    http: aiohttp.ClientSession
    config: Config

    async def ask(
        self, method: str, path: str, body: Any = None, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        async with self.http.request(method, self.proxy.url + path, json=body, headers=headers) as got:
            found = await got.text()
            assert got.status == status, found
            return json.loads(found)

    async def begin(self, *, status: int = 201, headers: Mapping[str, str] | None = None, **change: Any) -> dict:
        return await self.ask("POST", "/api/crosstalk/sessions", {**DOCUMENT, **change}, status=status, headers=headers)

    async def session(self, identifier: str) -> dict[str, Any]:
        return await self.ask("GET", f"/api/crosstalk/sessions/{identifier}")

    async def ended(self, identifier: str) -> dict[str, Any]:
        """The conversation once it has ended, and the store has all of it."""
        async with asyncio.timeout(30):
            while (found := await self.session(identifier))["status"] not in OVER or found["unstored"]:
                await asyncio.sleep(0.01)
        return found

    async def said(self, identifier: str) -> list[dict[str, Any]]:
        return (await self.ask("GET", f"/api/crosstalk/sessions/{identifier}/messages?limit=200"))["items"]

    async def shipped(self) -> None:
        """The ledger's rows are in the store."""
        await asyncio.wait_for(self.proxy.proxy.forwarder.idle(), 60)
        await until(lambda: self.proxy.proxy.spool.backlog().records == 0)


@asynccontextmanager
async def world(
    config: Config, *urls: str, store: Any = None, api_key: str = "sk-own", **more: Any
) -> AsyncIterator[World]:
    """The proxy before these addresses: Anthropic's, then OpenAI's (the same one where there is one alone)."""
    providers = {
        "claude": ProviderConfig(Protocol.ANTHROPIC, urls[0], api_key, "claude"),
        "gpt": ProviderConfig(Protocol.OPENAI, urls[-1], api_key, "gpt"),
    }
    settings = {"providers": providers, "routes": ROUTES, "prices": PRICES, **more}
    opened = store or functools.partial(Connection.open, config)
    async with gateway(config.home, urls[0], store=opened, **settings) as proxy, aiohttp.ClientSession() as http:
        yield World(proxy, http, config)


@asynccontextmanager
async def simulated(settings: SimulatedSettings | None = None) -> AsyncIterator[str]:
    """A simulated provider that speaks all protocols, without any delay."""
    server = TestServer(make_app(replace(settings or SimulatedSettings(), speed=0)))
    await server.start_server()
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


def message(text: str, *, model: str = "claude-opus-4-5", output: int = 5) -> bytes:
    """An Anthropic provider's answer, as it is on the wire: 10 tokens in, `output` out."""
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "stop_reason": "end_turn",
        "content": [{"type": "text", "text": text}] if text else [],
        "usage": {"input_tokens": 10, "output_tokens": output},
    }
    return answer(json.dumps(body).encode())
