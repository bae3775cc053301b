"""Calls whose first provider fails: they are tried again, elsewhere, or end with what the last one said."""

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from data.config import ProviderConfig
from data.model import Cause, Outcome, Protocol
from data.route_config import BreakerConfig, FallbacksConfig, RouteConfig, TargetConfig
from tests.proxy.budget_worlds import begin_counting, budget
from tests.proxy.gateway import Script, answer, chunked, client, gateway, provider, until
from tests.proxy.samples import EVENTS, MESSAGE, MESSAGES, STREAMED

OVERLOADED = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
LIMITED = b'{"type":"error","error":{"type":"rate_limit_error","message":"Slow down"}}'
TOO_LONG = b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8"}}'
BUSY = answer(OVERLOADED, status="529 Overloaded", headers="request-id: req_busy\r\n")
GOOD = answer(MESSAGE, headers="request-id: req_good\r\n")
ERROR_EVENT = b"event: error\ndata: " + OVERLOADED + b"\n\n"


def named(name: str, url: str, **settings: Any) -> ProviderConfig:
    return ProviderConfig(Protocol.ANTHROPIC, url, name=name, **settings)


def route(*, retries: int = 0, **lists: list[TargetConfig]) -> RouteConfig:
    fallbacks = FallbacksConfig(**{kind: tuple(targets) for kind, targets in lists.items()})  # type: ignore[arg-type]
    return RouteConfig("*", "first", retries=retries, fallbacks=fallbacks)


@asynccontextmanager
async def two_providers(
    home: Path, first: tuple[bytes | Script, ...], second: tuple[bytes | Script, ...], routes: RouteConfig, **more: Any
):
    """A gateway with the providers `first` and `second`; gives it with what both were sent."""
    async with provider(*first) as (url_1, seen_1), provider(*second) as (url_2, seen_2):
        keys = more.pop("keys", {})
        providers = {
            "first": named("first", url_1, **keys.get("first", {})),
            "second": named("second", url_2, **keys.get("second", {})),
        }
        async with gateway(home, url_1, providers=providers, routes=(routes,), **more) as proxy, client() as c:
            yield proxy, c, seen_1, seen_2


async def hangs(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def rows(proxy, count: int) -> list[Any]:
    await until(lambda: len(proxy.records) >= count)
    await proxy.proxy.forwarder.idle()
    assert len(proxy.records) == count
    return proxy.records


async def test_an_overloaded_provider_is_replaced_by_the_next(home: Path):
    plan = route(any=[TargetConfig("second")])
    async with two_providers(home, (BUSY,), (GOOD,), plan) as (proxy, c, seen_1, seen_2):
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES, headers={"x-api-key": "k"}) as got:
            assert (got.status, await got.read()) == (200, MESSAGE)
            assert got.headers["x-claude-proxy-provider"] == "second"
            assert (got.headers["x-claude-proxy-attempt"], got.headers["x-claude-proxy-cause"]) == ("2", "fallback")
        failed, served = await rows(proxy, 2)
    assert (len(seen_1.bodies), len(seen_2.bodies)) == (1, 1)
    assert failed.request_id == served.request_id == failed.id != served.id
    assert [(row.attempt, row.cause, row.provider) for row in (failed, served)] == [
        (1, Cause.FIRST, "first"),
        (2, Cause.FALLBACK, "second"),
    ]
    assert (failed.outcome, failed.status, failed.error_class) == (Outcome.ERROR, 529, "overloaded_error")
    assert failed.cost_usd == 0
    assert (served.outcome, served.cost_usd) == (Outcome.OK, Decimal("0.000105"))


async def test_the_callers_key_is_not_shown_to_another_provider(home: Path):
    plan = route(any=[TargetConfig("second")])
    async with (
        two_providers(home, (BUSY,), (GOOD,), plan) as (proxy, c, seen_1, seen_2),
        c.post(f"{proxy.url}/v1/messages", data=MESSAGES, headers={"x-api-key": "callers"}) as got,
    ):
        await got.read()
    assert b"callers" in seen_1.heads[0]
    assert b"callers" not in seen_2.heads[0]


async def test_when_all_fail_the_last_answer_comes_as_it_is(home: Path):
    last = answer(LIMITED, status="429 Nope", headers="retry-after: 7\r\nx-odd: 1\r\n")
    async with two_providers(home, (BUSY,), (last,), route(any=[TargetConfig("second")])) as (proxy, c, *_):
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert (got.status, got.reason, await got.read()) == (429, "Nope", LIMITED)
            assert (got.headers["retry-after"], got.headers["x-odd"]) == ("7", "1")
            assert "Server" not in got.headers
        assert [row.status for row in await rows(proxy, 2)] == [529, 429]


async def test_a_retry_waits_as_long_as_the_provider_asks(home: Path):
    soon = answer(LIMITED, status="429 Slow", headers="retry-after-ms: 120\r\n")
    async with two_providers(home, (soon, GOOD), (BUSY,), route(retries=1)) as (proxy, c, seen_1, _):
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert got.status == 200
        first, second = await rows(proxy, 2)
    assert len(seen_1.bodies) == 2
    assert second.cause is Cause.RETRY
    assert second.started_at - first.ended_at >= 115_000


async def test_a_pause_that_is_too_long_is_not_waited_for(home: Path):
    later = answer(LIMITED, status="429 Slow", headers="retry-after: 3600\r\n")
    plan = route(retries=3, rate_limited=[TargetConfig("second")])
    async with two_providers(home, (later,), (GOOD,), plan) as (proxy, c, seen_1, _):
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert (got.status, got.headers["x-claude-proxy-provider"]) == (200, "second")
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:  # it is still left alone
            assert got.headers["x-claude-proxy-provider"] == "second"
    assert len(seen_1.bodies) == 1


@pytest.mark.parametrize(
    ("failure", "lists", "served"),
    [
        (answer(TOO_LONG, status="400 Bad"), {"context_length": "second", "any": "first"}, True),
        (answer(TOO_LONG, status="400 Bad"), {"overloaded": "second"}, False),
        (answer(b'{"error":{"message":"odd"}}', status="400 Bad"), {"any": "second"}, False),
        (answer(OVERLOADED, status="503 Busy"), {"overloaded": "second"}, True),
        (answer(b"{}", status="500 Oops"), {"error": "second"}, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", {"error": "second"}, True),
    ],
    ids=["its own list", "another's list", "the request's fault", "overloaded", "error", "broken off"],
)
async def test_each_kind_of_failure_has_its_list(home: Path, failure: bytes, lists: dict[str, str], *, served: bool):
    async def once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(failure)
        writer.close()

    plan = route(**{kind: [TargetConfig(name)] for kind, name in lists.items()})
    async with (
        two_providers(home, (once,), (GOOD,), plan) as (proxy, c, *_),
        c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got,
    ):
        assert (got.status == 200) is served


@pytest.mark.parametrize("setting", ["first_byte_timeout_s", "idle_timeout_s", "total_timeout_s"])
async def test_a_provider_that_hangs_is_replaced(home: Path, setting: str):
    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if setting != "first_byte_timeout_s":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await asyncio.sleep(3600)

    plan = route(timeout=[TargetConfig("second")])
    keys = {"first": {setting: 0.1}}
    good = chunked(*EVENTS)
    async with two_providers(home, (silent,), (good,), plan, keys=keys) as (proxy, c, *_):
        async with c.post(f"{proxy.url}/v1/messages", data=STREAMED) as got:
            assert (got.status, await got.read()) == (200, b"".join(EVENTS))
        failed, _ = await rows(proxy, 2)
    assert (failed.outcome, failed.error_class) == (Outcome.TIMEOUT, setting.removesuffix("_s"))


async def test_a_good_status_with_an_error_for_an_answer_is_a_failure(home: Path):
    plan = route(overloaded=[TargetConfig("second")])
    async with two_providers(home, (chunked(ERROR_EVENT),), (chunked(*EVENTS),), plan) as (proxy, c, *_):
        async with c.post(f"{proxy.url}/v1/messages", data=STREAMED) as got:
            assert (got.status, await got.read()) == (200, b"".join(EVENTS))
        failed, served = await rows(proxy, 2)
    assert (failed.outcome, failed.error_class) == (Outcome.ERROR, "overloaded_error")
    assert served.outcome is Outcome.OK


async def test_an_error_event_that_nothing_follows_comes_as_it_is(home: Path):
    plan = route(timeout=[TargetConfig("second")])
    async with (
        two_providers(home, (chunked(ERROR_EVENT),), (GOOD,), plan) as (proxy, c, *_),
        c.post(f"{proxy.url}/v1/messages", data=STREAMED) as got,
    ):
        assert (got.status, await got.read()) == (200, ERROR_EVENT)


async def test_a_stream_that_has_begun_is_never_started_again(home: Path):
    begun = chunked(EVENTS[0], EVENTS[1], ERROR_EVENT)
    plan = route(retries=3, any=[TargetConfig("second")])
    async with two_providers(home, (begun,), (GOOD,), plan) as (proxy, c, seen_1, seen_2):
        async with c.post(f"{proxy.url}/v1/messages", data=STREAMED) as got:
            assert await got.read() == EVENTS[0] + EVENTS[1] + ERROR_EVENT
        assert len(await rows(proxy, 1)) == 1
    assert (len(seen_1.bodies), len(seen_2.bodies)) == (1, 0)


async def test_another_credential_is_used_when_one_is_at_its_limit(home: Path):
    limited = answer(LIMITED, status="429 Slow", headers="retry-after: 60\r\n")
    keys = {"first": {"api_keys": ("key-a", "key-b")}}
    async with two_providers(home, (limited, GOOD), (BUSY,), route(), keys=keys) as (proxy, c, seen_1, _):
        for _ in range(3):
            async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
                assert got.status == 200
        records = await rows(proxy, 4)
    used = [head.split(b"x-api-key: ")[1].split(b"\r\n")[0] for head in seen_1.heads]
    assert used == [b"key-a", b"key-b", b"key-b", b"key-b"]
    assert [row.credential for row in records] == ["first#1", "first#2", "first#2", "first#2"]
    assert "key-a" not in str(records)


async def test_a_failing_place_is_left_alone_and_tried_again(home: Path):
    plan = route(any=[TargetConfig("second")])
    breaker = BreakerConfig(failures=2, window_s=60, open_s=0.3)
    async with two_providers(home, (BUSY, BUSY, GOOD), (GOOD,), plan, breaker=breaker) as (proxy, c, seen_1, _):

        async def served_by() -> str:
            async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
                assert got.status == 200
                return got.headers["x-claude-proxy-provider"]

        assert [await served_by() for _ in range(4)] == ["second"] * 4
        assert len(seen_1.bodies) == 2
        async with asyncio.timeout(60):
            while await served_by() != "first":
                await asyncio.sleep(0.02)
        assert await served_by() == "first"


async def test_a_place_without_alternative_may_be_refused_while_it_is_left_alone(home: Path):
    breaker = BreakerConfig(failures=1, window_s=60, open_s=30, without_alternative="refuse")
    async with two_providers(home, (BUSY,), (GOOD,), route(), breaker=breaker) as (proxy, c, seen_1, _):
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert got.status == 529
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert (got.status, got.headers["x-claude-proxy-error"]) == (503, "circuit_open")
            assert 25 <= int(got.headers["retry-after"]) <= 30
    assert len(seen_1.bodies) == 1


async def test_another_model_is_asked_for_by_the_same_bytes_but_its_name(home: Path):
    plan = route(any=[TargetConfig("second", "claude-haiku-4-5")])
    async with two_providers(home, (BUSY,), (GOOD,), plan) as (proxy, c, seen_1, seen_2):
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            await got.read()
        _, served = await rows(proxy, 2)
    assert seen_2.bodies[0] == seen_1.bodies[0].replace(b"claude-sonnet-4-5", b"claude-haiku-4-5")
    assert served.model_requested == "claude-sonnet-4-5"


async def test_a_client_that_hangs_up_during_the_pause_ends_the_call(home: Path):
    soon = answer(LIMITED, status="429 Slow", headers="retry-after: 5\r\n")
    async with two_providers(home, (soon, GOOD), (BUSY,), route(retries=1)) as (proxy, c, seen_1, _):
        asking = asyncio.get_running_loop().create_task(c.post(f"{proxy.url}/v1/messages", data=MESSAGES))
        await until(lambda: len(proxy.records) == 1)
        asking.cancel()
        await asyncio.wait_for(proxy.proxy.forwarder.idle(), 4)
        assert len(seen_1.bodies) == 1


async def test_answers_do_not_say_who_served_them_where_that_is_not_wanted(home: Path):
    settings = {"answer_headers": False}
    async with two_providers(home, (GOOD,), (GOOD,), route(), settings=settings) as (proxy, c, *_):
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert not [name for name in got.headers if name.startswith("x-claude-proxy") and "request" not in name]


async def test_what_a_failed_attempt_held_is_free_for_its_fallback(tmp_path: Path):
    begin_counting(tmp_path, [budget(amount_usd=Decimal("0.002"))])  # room for one worst case, not for two
    routes = route(any=[TargetConfig("second")])
    async with two_providers(tmp_path, (BUSY,), (GOOD,), routes) as (proxy, c, first, second):
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert got.status == 200
        assert (len(first.bodies), len(second.bodies)) == (1, 1)
