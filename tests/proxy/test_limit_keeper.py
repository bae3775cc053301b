"""What answers say of limits, from their headers into a real store, and from there into rules."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

import aiohttp

from data.client import FlightStore
from data.connection import Connection
from data.errors import StoreUnavailable
from data.query import answer as answered
from data.question import Question
from tests.proxy.gateway import answer, client, gateway, provider, until
from tests.proxy.samples import MESSAGE, MESSAGES

SECRET = "sk-ant-api03-not-to-be-seen-anywhere-0123456789"
HEADERS = (
    "anthropic-ratelimit-tokens-limit: 1000\r\nanthropic-ratelimit-tokens-remaining: {}\r\n"
    "anthropic-ratelimit-tokens-reset: 2099-01-01T00:00:00Z\r\n"
)


def said(remaining: int) -> bytes:
    return answer(MESSAGE, headers=HEADERS.format(remaining))


async def call(url: str, c: aiohttp.ClientSession) -> None:
    async with c.post(f"{url}/v1/messages", data=MESSAGES, headers={"x-api-key": SECRET}) as got:
        assert await got.read() == MESSAGE


def kept(store: FlightStore) -> list[tuple[float, str]]:
    return store.sql("SELECT used_percent, credential FROM provider_limits WHERE \"limit\" = 'tokens'").rows()


async def until_kept(store: FlightStore, used: float) -> None:
    async with asyncio.timeout(60):
        while used not in [found for found, _ in await asyncio.to_thread(kept, store)]:
            await asyncio.sleep(0.05)


async def test_what_an_answer_says_is_asked_for_as_a_metric_and_tells_no_secret(store, config):
    async with (
        provider(said(250)) as (url, _),
        gateway(config.home, url, store=partial(Connection.open, config)) as proxy,
        client() as c,
    ):
        await call(proxy.url, c)
        await until_kept(store, 75)
        await until(lambda: not proxy.proxy.live.limits.history.waiting(1))
    now = datetime.now(UTC)
    question = Question(("provider_limit_used",), now - timedelta(minutes=5), now, by=("provider", "limit"))
    assert answered(store, question).rows() == [("anthropic", "tokens", 75)]
    ((_, credential),) = kept(store)
    assert credential
    assert credential not in ("", SECRET)
    assert "not-to-be-seen" not in credential


async def test_what_is_said_while_the_store_is_away_is_kept_when_it_is_back(store, config):
    away = [True]

    def connected() -> Connection:
        if away[0]:
            raise StoreUnavailable("away")
        return Connection.open(config)

    async with provider(said(400)) as (url, _), gateway(config.home, url, store=connected) as proxy, client() as c:
        await call(proxy.url, c)
        await proxy.proxy.forwarder.idle()
        assert kept(store) == []
        away[0] = False
        await until_kept(store, 60)


async def test_a_proxy_that_ends_at_once_has_kept_what_it_was_told(store, config):
    async with (
        provider(said(100)) as (url, _),
        gateway(config.home, url, store=partial(Connection.open, config)) as proxy,
        client() as c,
    ):
        await call(proxy.url, c)
    assert [used for used, _ in kept(store)] == [90]


async def test_two_proxies_write_beside_each_other(store, config):
    connected = partial(Connection.open, config)
    async with (
        provider(said(300)) as (one, _),
        provider(said(200)) as (other, _),
        gateway(config.home, one, store=connected) as first,
        gateway(config.home, other, store=connected) as second,
        client() as c,
    ):
        await call(first.url, c)
        await call(second.url, c)
    assert sorted(used for used, _ in kept(store)) == [70, 80]
