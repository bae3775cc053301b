"""All that a gateway may have to do beside passing calls on: a virtual key with limits, budgets, live listeners.

`python -m tests.benchmarks.everything URL` is the listeners of the proxy at URL.
"""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.load import say

#: What the proxy is started with.
ENVIRON: Mapping[str, str] = {
    "CLAUDE_PROXY_KEYS_REQUIRED": "true",
    # a virtual key is for the proxy alone: it needs one of its own for the provider
    "CLAUDE_PROXY_PROVIDERS_ANTHROPIC_API_KEY": "sk-provider",
}
LISTENERS = 3
ENOUGH = 100_000_000
KEY: Mapping[str, Any] = {
    "name": "bench",
    "team": "bench",
    "project": "bench",
    "models": ["claude-*"],
    "requests_per_minute": ENOUGH,
    "tokens_per_minute": ENOUGH,
    "max_parallel": ENOUGH,
}
#: Every scope that a call without a session has a value for; no call is refused, all are reserved for and settled.
BUDGETS: tuple[Mapping[str, Any], ...] = (
    {"name": "all", "amount_usd": ENOUGH, "period": "month"},
    {"name": "each key", "scope": {"kind": "key", "value": "*"}, "amount_usd": ENOUGH, "period": "day"},
    {"name": "team", "scope": {"kind": "team", "value": "bench"}, "amount_usd": ENOUGH, "period": "week"},
    {"name": "each model", "scope": {"kind": "model", "value": "*"}, "amount_usd": ENOUGH, "period": "hour"},
)


async def set_up(url: str) -> str:
    """Make the key and the budgets at a running proxy, whose store is up; the key's secret."""
    async with aiohttp.ClientSession(url) as session:
        for budget in BUDGETS:
            await _post(session, "/api/budget/configure", budget)
        secret: str = (await _post(session, "/api/keys", KEY))["secret"]
        return secret


async def _post(session: aiohttp.ClientSession, path: str, document: Mapping[str, Any]) -> Any:
    async with session.post(path, json=document) as answer:
        if answer.status >= 300:
            raise RuntimeError(f"{path} answers {answer.status}: {await answer.text()}")
        return await answer.json()


async def spent(url: str) -> Mapping[str, float]:
    """What each budget has counted, in dollars: nothing would mean that it was not measured."""
    async with aiohttp.ClientSession(url) as session, session.get("/api/budget/status") as answer:
        budgets = (await answer.json())["items"]
    return {budget["name"]: sum(float(group["spent_usd"]) for group in budget["groups"]) for budget in budgets}


async def listen(url: str) -> None:
    """Read what the proxy tells its listeners, until it ends."""
    async with aiohttp.ClientSession(url) as session:
        sockets = [await session.ws_connect("/ws/live") for _ in range(LISTENERS)]
        say(f"ready {url}")
        await asyncio.gather(*map(_drain, sockets))


async def _drain(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


if __name__ == "__main__":
    uvloop.run(listen(sys.argv[1]))
