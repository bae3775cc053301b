"""Places that cannot be sent a call are left out of it, and a place in trouble is not tried by what reaches nobody."""

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from data.config import PriceOverride, ProviderConfig
from data.model import Cause, Protocol
from data.route_config import BreakerConfig, FallbacksConfig, RouteConfig, TargetConfig
from tests.proxy.budget_worlds import begin_counting, budget
from tests.proxy.gateway import answer, client, gateway, provider, until
from tests.proxy.samples import MESSAGE, MESSAGES
from tests.proxy.test_fallbacks import BUSY, GOOD, hangs, rows, two_providers

ASKED = msgspec.json.decode(MESSAGES)
WITH_TOP_K = msgspec.json.encode({**ASKED, "top_k": 5})
COUNT = msgspec.json.encode({"model": ASKED["model"], "messages": ASKED["messages"]})
CHAT = b'{"id":"c","model":"m","choices":[{"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'


def route(first: str, *others: str) -> RouteConfig:
    return RouteConfig("*", first, fallbacks=FallbacksConfig(any=tuple(TargetConfig(name) for name in others)))


@asynccontextmanager
async def places(home: Path, routes: RouteConfig, *, claude: bytes = GOOD, gpt: bytes = answer(CHAT), **config: Any):
    """A gateway with `claude`, `claude-2` and `gpt`, which speaks OpenAI's Chat; gives what each of them was sent."""
    async with (
        provider(claude) as (url, seen),
        provider(GOOD) as (url_2, seen_2),
        provider(gpt) as (url_gpt, seen_gpt),
    ):
        providers = {
            "claude": ProviderConfig(Protocol.ANTHROPIC, url, "sk-1", "claude"),
            "claude-2": ProviderConfig(Protocol.ANTHROPIC, url_2, "sk-2", "claude-2"),
            "gpt": ProviderConfig(Protocol.OPENAI, url_gpt, "sk-3", "gpt"),
        }
        async with gateway(home, url, providers=providers, routes=(routes,), **config) as proxy, client() as c:
            yield proxy, c, {"claude": seen.bodies, "claude-2": seen_2.bodies, "gpt": seen_gpt.bodies}


async def test_a_call_that_the_first_choice_cannot_be_sent_goes_to_the_next(home: Path):
    async with places(home, route("gpt", "claude")) as (proxy, c, seen):
        async with c.post(f"{proxy.url}/v1/messages", data=WITH_TOP_K) as got:
            assert (got.status, await got.read()) == (200, MESSAGE)
            assert got.headers["x-claude-proxy-provider"] == "claude"
        (row,) = await rows(proxy, 1)
    assert (row.id, row.attempt, row.cause, row.provider) == (row.request_id, 1, Cause.FALLBACK, "claude")
    assert (seen["gpt"], seen["claude"]) == ([], [WITH_TOP_K])


async def test_where_nobody_can_be_sent_it_the_first_reason_is_told(home: Path):
    async with places(home, route("gpt")) as (proxy, c, _):
        async with c.post(f"{proxy.url}/v1/messages", data=WITH_TOP_K) as got:
            assert (got.status, got.headers["x-claude-proxy-error"]) == (400, "cannot_be_sent")
            assert b"top_k" in await got.read()
        assert proxy.records == []


@pytest.mark.parametrize(
    ("others", "status"), [(["gpt"], 529), (["gpt", "claude-2"], 200)], ids=["no more", "one more"]
)
async def test_a_fallback_that_cannot_be_sent_the_call_is_passed_over(home: Path, others: list[str], status: int):
    async with places(home, route("claude", *others), claude=BUSY) as (proxy, c, seen):
        async with c.post(f"{proxy.url}/v1/messages", data=WITH_TOP_K) as got:
            assert got.status == status
        found = await rows(proxy, len(others))
    assert [(row.attempt, row.provider) for row in found] == [(1, "claude"), (2, "claude-2")][: len(others)]
    assert seen["gpt"] == []


@pytest.mark.parametrize("reaches_nobody", ["count", "untranslatable", "no room"])
async def test_what_reaches_no_provider_leaves_the_next_call_to_try_a_place_in_trouble(home: Path, reaches_nobody: str):
    failing = answer(b'{"error":{"message":"oops"}}', status="500 Oops")
    breaker = BreakerConfig(failures=1, window_s=600, open_s=600)
    begin_counting(home, [budget(amount_usd=Decimal(1))])
    path, body = {
        "count": ("v1/messages/count_tokens", COUNT),
        "untranslatable": ("v1/messages", WITH_TOP_K),
        "no room": ("v1/messages", msgspec.json.encode({**ASKED, "max_tokens": 10**9})),
    }[reaches_nobody]
    prices = (PriceOverride("*", Decimal(1), Decimal(10)),)
    async with places(home, route("gpt"), gpt=failing, breaker=breaker, prices=prices) as (proxy, c, seen):
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert got.status == 500
        circuits = proxy.proxy.forwarder._means.breaker
        ((place, _),) = circuits.snapshot(0).items()
        opened_until = circuits.rests_until(place)
        async with c.post(f"{proxy.url}/{path}", data=body) as got:
            assert got.status == {"count": 200, "untranslatable": 400, "no room": 429}[reaches_nobody]
        assert circuits.rests_until(place) == opened_until
    assert len(seen["gpt"]) == 1


async def test_a_client_that_hangs_up_leaves_the_next_call_to_try_a_place_in_trouble(home: Path):
    breaker = BreakerConfig(failures=1, window_s=600, open_s=600)
    async with two_providers(home, (BUSY, hangs), (GOOD,), RouteConfig("*", "first"), breaker=breaker) as (
        proxy,
        c,
        seen,
        _,
    ):
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert got.status == 529
        circuits = proxy.proxy.forwarder._means.breaker
        ((place, _),) = circuits.snapshot(0).items()
        opened_until = circuits.rests_until(place)
        asking = asyncio.get_running_loop().create_task(c.post(f"{proxy.url}/v1/messages", data=MESSAGES))
        await until(lambda: len(seen.bodies) == 2)
        assert circuits.rests_until(place) > opened_until
        asking.cancel()
        await until(lambda: circuits.rests_until(place) == opened_until)
