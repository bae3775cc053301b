"""Calls leave no reference cycles behind: looking for them would cost every call a part of its time."""

import gc
from pathlib import Path

import pytest

from data.config import ProviderConfig
from data.model import Protocol
from data.route_config import FallbacksConfig, RouteConfig, TargetConfig
from tests.proxy.gateway import answer, chunked, client, gateway, provider
from tests.proxy.samples import EVENTS, MESSAGE, MESSAGES, STREAMED

CALLS = 30
BUSY = answer(b'{"type":"error","error":{"type":"overloaded_error"}}', status="529 Busy")


def left_behind() -> set[str]:
    """The kinds of our objects that only a search for cycles frees."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return {type(found).__name__ for found in gc.garbage if type(found).__module__.startswith(("proxy", "data"))}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


@pytest.mark.parametrize(
    ("wire", "body"),
    [(answer(MESSAGE), MESSAGES), (chunked(*EVENTS), STREAMED), (BUSY, MESSAGES)],
    ids=["plain", "streamed", "fallback"],
)
async def test_a_call_leaves_no_cycles(home: Path, wire: bytes, body: bytes):
    routes = (RouteConfig("*", "first", fallbacks=FallbacksConfig(any=(TargetConfig("second"),)), cost_cap_factor=9),)
    async with provider(wire) as (url, _), provider(answer(MESSAGE)) as (other, _):
        providers = {
            name: ProviderConfig(Protocol.ANTHROPIC, address, "sk", name)
            for name, address in (("first", url), ("second", other))
        }
        async with gateway(home, url, providers=providers, routes=routes) as proxy, client() as c:

            async def call() -> None:
                async with c.post(f"{proxy.url}/v1/messages", data=body) as got:
                    await got.read()
                    assert got.status == 200

            await call()
            gc.collect()
            gc.freeze()  # what other tests left to be freed later is not this one's
            gc.disable()
            try:
                for _ in range(CALLS):
                    await call()
                await proxy.proxy.forwarder.idle()
                found = left_behind()
            finally:
                gc.enable()
                gc.unfreeze()
    assert found - {"StoreUnavailable"} == set()
