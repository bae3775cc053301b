"""A budget of one place without room sends the call to the next; one that every place has ends it."""

import logging
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from data.budgets import ScopeKind
from data.model import Cause
from data.route_config import TargetConfig
from proxy.budget.reservation import Refusal, Why
from tests.proxy.budget_worlds import DOLLAR, NOON, begin_counting, budget, proxy
from tests.proxy.gateway import answer, chunked
from tests.proxy.samples import EVENTS, MESSAGE, MESSAGES, STREAMED
from tests.proxy.spool_samples import started
from tests.proxy.test_fallbacks import BUSY, GOOD, OVERLOADED, route, rows, two_providers

HAIKU = "claude-haiku-4-5"
BY_HAIKU = answer(MESSAGE.replace(b"claude-sonnet-4-5", HAIKU.encode()))
SECOND = route(any=[TargetConfig("second")])
CHEAPER = route(any=[TargetConfig("second", HAIKU)])


def full(kind: str, value: str, **more: Any):
    return budget(f"full {value}", scope={"kind": kind, "value": value}, amount_usd=0, **more)


async def ask(c, proxy, body: bytes = MESSAGES, **headers: str):
    async with c.post(f"{proxy.url}/v1/messages", data=body, headers=headers) as got:
        return got, await got.read()


async def test_a_full_provider_is_passed_over(home: Path, caplog: pytest.LogCaptureFixture):
    begin_counting(home, [full("provider", "first"), budget(scope={"kind": "provider", "value": "second"})])
    caplog.set_level(logging.INFO, "proxy.no_room")
    async with two_providers(home, (GOOD,), (GOOD,), SECOND) as (proxy, c, seen_1, seen_2):
        got, read = await ask(c, proxy)
        (row,) = await rows(proxy, 1)
    assert (got.status, read) == (200, MESSAGE)
    assert (len(seen_1.bodies), len(seen_2.bodies)) == (0, 1)
    assert got.headers["x-claude-proxy-no-room"] == "first/claude-sonnet-4-5"
    assert (got.headers["x-claude-proxy-provider"], got.headers["x-claude-proxy-cause"]) == ("second", "fallback")
    assert (row.attempt, row.cause, row.provider, row.id) == (1, Cause.FALLBACK, "second", row.request_id)
    assert "no room at first: The budget 'full first' has no room" in caplog.text


async def test_a_stream_goes_to_the_next_place_too(home: Path):
    begin_counting(home, [full("provider", "first")])
    async with two_providers(home, (GOOD,), (chunked(*EVENTS),), SECOND) as (proxy, c, seen_1, _):
        got, read = await ask(c, proxy, STREAMED)
        (row,) = await rows(proxy, 1)
    assert (got.status, read) == (200, b"".join(EVENTS))
    assert got.headers["x-claude-proxy-no-room"] == "first/claude-sonnet-4-5"
    assert (row.provider, row.output_tokens, seen_1.bodies) == ("second", 7, [])


async def test_a_full_model_is_replaced_by_another(home: Path):
    begin_counting(home, [full("model", "claude-sonnet-*"), budget(scope={"kind": "model", "value": HAIKU})])
    async with two_providers(home, (GOOD,), (BY_HAIKU,), CHEAPER) as (proxy, c, seen_1, seen_2):
        got, _ = await ask(c, proxy)
        (row,) = await rows(proxy, 1)
    assert (got.status, got.headers["x-claude-proxy-model"]) == (200, HAIKU)
    assert (row.model_requested, row.model, row.cause) == ("claude-sonnet-4-5", HAIKU, Cause.FALLBACK)
    assert b'"claude-haiku-4-5"' in seen_2.bodies[0]
    assert seen_1.bodies == []


async def test_a_full_model_that_every_place_would_ask_is_refused(home: Path):
    begin_counting(home, [full("model", "claude-sonnet-4-5")])
    async with two_providers(home, (GOOD,), (GOOD,), SECOND) as (proxy, c, seen_1, seen_2):
        got, read = await ask(c, proxy)
        await rows(proxy, 0)
    assert (got.status, got.headers["x-claude-proxy-error"]) == (429, "budget_exceeded")
    assert got.headers["x-claude-proxy-no-room"] == "first/claude-sonnet-4-5, second/claude-sonnet-4-5"
    assert b"full claude-sonnet-4-5" in read
    assert seen_1.bodies == seen_2.bodies == []


async def test_where_none_has_room_the_answer_is_the_refusal_of_the_first(home: Path):
    begin_counting(home, [full("provider", "second"), full("provider", "first")])
    async with two_providers(home, (GOOD,), (GOOD,), SECOND) as (proxy, c, seen_1, seen_2):
        got, read = await ask(c, proxy)
        await rows(proxy, 0)
    assert (got.status, got.headers["x-should-retry"]) == (429, "false")
    assert b"The budget 'full first' has no room" in read
    assert b"full second" not in read
    assert seen_1.bodies == seen_2.bodies == []


@pytest.mark.parametrize(
    "scope",
    [
        {},
        {"kind": "key", "value": "*"},
        {"kind": "team", "value": "t"},
        {"kind": "user", "value": "u"},
        {"kind": "project", "value": "p"},
        {"kind": "session", "value": "s"},
        {"kind": "tag", "tag": "a", "value": "b"},
    ],
    ids=lambda scope: scope.get("kind", "global"),
)
async def test_a_budget_of_any_other_scope_ends_the_call(home: Path, scope: dict[str, str]):
    begin_counting(home, [full("provider", "first"), budget("caller's", scope=scope, amount_usd=0)])
    said = {"team": "t", "user": "u", "project": "p", "session": "s", "tags": "a=b"}
    headers = {f"x-claude-proxy-{name}": value for name, value in said.items()}
    async with two_providers(home, (GOOD,), (GOOD,), SECOND) as (proxy, c, seen_1, seen_2):
        got, _ = await ask(c, proxy, **headers, **{"x-api-key": "sk-somebody"})
    assert got.status == 429
    assert "x-claude-proxy-no-room" not in got.headers
    assert seen_1.bodies == seen_2.bodies == []


async def test_a_new_batch_goes_nowhere_else(home: Path):
    begin_counting(home, [full("provider", "first")])
    async with two_providers(home, (GOOD,), (GOOD,), SECOND) as (proxy, c, seen_1, seen_2):
        async with c.post(f"{proxy.url}/v1/messages/batches", data=b'{"requests":[]}') as got:
            assert (got.status, got.headers["x-claude-proxy-error"]) == (429, "budget_batch")
    assert seen_1.bodies == seen_2.bodies == []


async def test_the_cost_cap_holds_for_the_next_place(home: Path):
    begin_counting(home, [full("model", HAIKU)])
    capped = replace(route(any=[TargetConfig("second", "claude-opus-4-1")]), cost_cap_factor=2.0)
    async with two_providers(home, (BY_HAIKU,), (GOOD,), capped) as (proxy, c, seen_1, seen_2):
        got, read = await ask(c, proxy, MESSAGES.replace(b"claude-sonnet-4-5", HAIKU.encode()))
    assert (got.status, got.headers["x-claude-proxy-no-room"]) == (429, f"first/{HAIKU}")
    assert b"full claude-haiku-4-5" in read
    assert seen_1.bodies == seen_2.bodies == []


async def test_a_soft_budget_changes_nothing(home: Path):
    begin_counting(home, [full("provider", "first", enforcement="soft")])
    async with two_providers(home, (GOOD,), (GOOD,), SECOND) as (proxy, c, seen_1, seen_2):
        got, _ = await ask(c, proxy)
    assert (got.status, got.headers["x-claude-proxy-provider"]) == (200, "first")
    assert "full first" in got.headers["x-claude-proxy-budget-warning"]
    assert (len(seen_1.bodies), len(seen_2.bodies)) == (1, 0)


async def test_after_a_failure_a_full_place_leaves_its_answer(home: Path):
    begin_counting(home, [full("provider", "second")])
    async with two_providers(home, (BUSY,), (GOOD,), SECOND) as (proxy, c, _, seen_2):
        got, read = await ask(c, proxy)
        await rows(proxy, 1)
    assert (got.status, read, seen_2.bodies) == (529, OVERLOADED, [])


async def test_the_places_are_not_named_where_that_is_not_wanted(home: Path):
    begin_counting(home, [full("provider", "first")])
    settings = {"answer_headers": False}
    async with two_providers(home, (GOOD,), (GOOD,), SECOND, settings=settings) as (proxy, c, *_):
        got, _ = await ask(c, proxy)
    assert got.status == 200
    assert "x-claude-proxy-no-room" not in got.headers


@pytest.mark.parametrize(
    ("kinds", "of_place"),
    [
        (["provider"], True),
        (["model", "provider"], True),
        (["provider", "global"], False),
        (["global", "provider"], False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_a_refusal_knows_the_scopes_that_have_no_room(home: Path, kinds: list[str], *, of_place: bool):
    scopes = {
        "global": {},
        "provider": {"kind": "provider", "value": "anthropic"},
        "model": {"kind": "model", "value": "*"},
    }
    amounts = [Decimal("0.5"), Decimal("0.9")]
    budgets = [budget(k, scope=scopes[k], amount_usd=amount) for k, amount in zip(kinds, amounts, strict=False)]
    begin_counting(home, budgets)
    with proxy(home) as at:
        refused = at.reserve(started(provider="anthropic", model_requested="m"), DOLLAR, NOON)
    assert isinstance(refused, Refusal)
    assert [str(scope) for scope in refused.scopes] == kinds
    assert refused.of_place is of_place


def test_an_unpriced_model_is_refused_by_the_budget_that_every_place_has(home: Path):
    begin_counting(home, [full("provider", "anthropic"), budget("all of it")])
    with proxy(home) as at:
        refused = at.reserve(started(provider="anthropic"), None, NOON)
    assert isinstance(refused, Refusal)
    assert (refused.why, refused.budget, refused.scopes) == (Why.UNPRICED, "all of it", (ScopeKind.GLOBAL,))
