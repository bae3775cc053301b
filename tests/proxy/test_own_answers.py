"""What the proxy itself answers a call that it has admitted says of the key's limits what a provider's answer says."""

from pathlib import Path
from typing import Any

import pytest

from data.config import ProviderConfig
from data.model import Protocol
from data.route_config import BreakerConfig
from tests.proxy.admission.keys import key
from tests.proxy.budget_worlds import begin_counting, budget
from tests.proxy.gateway import Gateway, answer, client, gateway, provider
from tests.proxy.samples import MESSAGES

BUSY = answer(b'{"type":"error","error":{"type":"overloaded_error"}}', status="529 Overloaded")
PREFILLED = MESSAGES.replace(b'"user"', b'"assistant"')
ALONE = BreakerConfig(failures=1, open_s=60, without_alternative="refuse")


def one(protocol: Protocol, url: str) -> dict[str, Any]:
    return {"providers": {"one": ProviderConfig(protocol, url, "sk", "one")}}


async def ask(proxy: Gateway, body: bytes, path: str = "/v1/messages") -> tuple[int, str, dict[str, str]]:
    """Status, code and rate-limit headers of the answer to the first call of a key for nine calls a minute."""
    stored, secret = key(requests_per_minute=9)
    proxy.proxy.gate.ring.replace([stored])
    async with client() as c, c.post(proxy.url + path, data=body, headers={"x-api-key": secret}) as got:
        told = {name: value for name, value in got.headers.items() if "ratelimit" in name}
        return got.status, got.headers.get("x-claude-proxy-error", ""), told


def is_told(told: dict[str, str], *, remaining: str = "8") -> bool:
    begin = "anthropic-ratelimit-requests"
    assert told.keys() == {f"{begin}-limit", f"{begin}-remaining", f"{begin}-reset"}
    return (told[f"{begin}-limit"], told[f"{begin}-remaining"]) == ("9", remaining)


async def test_that_nobody_can_serve_it(home: Path):
    async with gateway(home, "", providers={}) as proxy:
        status, code, told = await ask(proxy, MESSAGES)
    assert (status, code) == (404, "no_provider")
    assert is_told(told)


async def test_that_it_cannot_be_translated(home: Path):
    async with gateway(home, "", **one(Protocol.OPENAI, "http://127.0.0.1:9")) as proxy:
        status, code, told = await ask(proxy, PREFILLED)
    assert (status, code) == (400, "cannot_be_sent")
    assert is_told(told)


async def test_that_its_provider_is_left_alone(home: Path):
    async with provider(BUSY) as (url, _), gateway(home, "", breaker=ALONE, **one(Protocol.ANTHROPIC, url)) as proxy:
        assert (await ask(proxy, MESSAGES))[:2] == (529, "")
        status, code, told = await ask(proxy, MESSAGES)
    assert (status, code) == (503, "circuit_open")
    assert is_told(told, remaining="7")


async def test_that_no_budget_has_room_for_it(home: Path):
    begin_counting(home, [budget(amount_usd="0.000001")])
    async with provider(BUSY) as (url, seen), gateway(home, "", **one(Protocol.ANTHROPIC, url)) as proxy:
        status, code, told = await ask(proxy, MESSAGES)
    assert (status, code, seen.heads) == (429, "budget_exceeded", [])
    assert is_told(told)


async def test_that_the_ledger_takes_nothing(home: Path):
    def full(_: object) -> None:
        raise OSError("no space left")

    async with provider(BUSY) as (url, seen), gateway(home, "", **one(Protocol.ANTHROPIC, url)) as proxy:
        proxy.proxy.forwarder._means.books.ledger.start = full  # type: ignore[method-assign]
        status, code, told = await ask(proxy, MESSAGES)
    assert (status, code, seen.heads) == (503, "ledger_full", [])
    assert is_told(told)


async def test_that_its_tokens_are_estimated(home: Path):
    async with gateway(home, "", **one(Protocol.OPENAI, "http://127.0.0.1:9")) as proxy:
        status, _, told = await ask(proxy, MESSAGES, "/v1/messages/count_tokens")
    assert status == 200
    assert is_told(told)


async def test_that_its_provider_cannot_be_reached(home: Path):
    async with gateway(home, "", **one(Protocol.ANTHROPIC, "http://127.0.0.1:9")) as proxy:
        status, code, told = await ask(proxy, MESSAGES)
    assert (status, code) == (502, "provider_unreachable")
    assert is_told(told)


@pytest.mark.parametrize("limits", [{}, {"models": ["claude-*"]}], ids=["no limit", "a list of models"])
async def test_a_key_without_limits_is_told_of_none(home: Path, limits: dict[str, Any]):
    stored, secret = key(**limits)
    async with gateway(home, "", providers={}) as proxy, client() as c:
        proxy.proxy.gate.ring.replace([stored])
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES, headers={"x-api-key": secret}) as got:
            assert got.status == 404
            assert not [name for name in got.headers if "ratelimit" in name]
