"""What every native HTTP channel makes of every way in which a receiver can answer, over real connections."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web

from engine.channels import CHANNELS, Delivery
from engine.channels import http as http_module
from engine.channels.http import HttpSender
from engine.channels.webhook import new_secret
from engine.errors import DeliveryError
from tests.engine.receivers import FIRING, receiving, until

SENT, RETRY, PERMANENT, GONE = "sent", "retry", "permanent", "gone"
LIMIT_S = 1.0
#: Where the limit is not what is tried: the machine may be busy.
PATIENT_S = 30.0


@dataclass(frozen=True)
class Native:
    """A channel of a kind, and the text that its receiver says when all is well."""

    kind: str
    form: Callable[[str], dict[str, Any]]
    good: str = "ok"


BOT = json.dumps({"ok": True, "channel": "C1", "ts": "1.1"})
NATIVE = {
    "webhook": Native("webhook", lambda url: {"url": url, "secret": new_secret()}),
    "slack": Native("slack", lambda url: {"url": url}),
    "slack-bot": Native("slack", lambda url: {"token": "xoxb-1", "channel": "#ops", "api_url": url}, BOT),
    "pagerduty": Native("pagerduty", lambda url: {"routing_key": "R" * 32, "api_url": url}),
    "teams": Native("teams", lambda url: {"url": url}, "1"),
}


async def huge(request: web.Request) -> web.StreamResponse:
    """As much as the other side takes, up to a gigabyte."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    for _ in range(1024):
        await answer.write(b"x" * 1024 * 1024)
    return answer


async def drip(request: web.Request) -> web.StreamResponse:
    """A good status, and then a byte now and then, for ever."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b".")
        await asyncio.sleep(0.02)


async def breaks_off(request: web.Request) -> web.StreamResponse:
    """A good status, and then the connection ends in the middle of the answer."""
    answer = web.StreamResponse(headers={"Content-Length": "1000"})
    await answer.prepare(request)
    await answer.write(b"x")
    assert request.transport
    request.transport.abort()
    return answer


def in_a_minute() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)


#: what the receiver does (`None` as a text: what a good one says), what it means, and the seconds it asks for
CASES: dict[str, tuple[Any, str, float | None]] = {
    "200": ((200, {}, None), SENT, None),
    "202": ((202, {}, None), SENT, None),
    "301": ((301, {"Location": "/elsewhere"}, ""), PERMANENT, None),
    "400": ((400, {}, "no"), PERMANENT, None),
    "404": ((404, {}, "no"), PERMANENT, None),
    "410": ((410, {}, "no"), GONE, None),
    "429 in seconds": ((429, {"Retry-After": "7"}, ""), RETRY, 7.0),
    "429 at a time": ((429, in_a_minute, ""), RETRY, 60.0),
    "429 without": ((429, {}, ""), RETRY, None),
    "500": ((500, {}, "no"), RETRY, None),
    "503 in seconds": ((503, {"Retry-After": "9"}, ""), RETRY, 9.0),
    "timeout": ("hang", RETRY, None),
    "reset": (None, RETRY, None),
    "huge answer": (huge, SENT, None),
    "slow drip": (drip, SENT, None),
    "broken off": (breaks_off, SENT, None),
}
#: Where a channel knows better than HTTP does.
BETTER = {
    ("slack", "404"): GONE,
    # whether a bot's message was taken stands in the answer alone
    ("slack-bot", "huge answer"): RETRY,
    ("slack-bot", "slow drip"): RETRY,
    ("slack-bot", "broken off"): RETRY,
}


def step(planned: Any, good: str) -> Any:
    if not isinstance(planned, tuple):
        return planned
    status, headers, text = planned
    return status, {"Retry-After": headers()} if callable(headers) else headers, good if text is None else text


async def outcome(native: Native, url: str, timeout_s: float = PATIENT_S) -> tuple[str, DeliveryError | None]:
    kind = CHANNELS[native.kind]
    config = kind.config.model_validate({**native.form(url), "allow_private": True})
    async with HttpSender(timeout_s=timeout_s) as http:
        try:
            await kind.notify(config, FIRING, Delivery("n-1", datetime.now(UTC)), http)
        except DeliveryError as error:
            return GONE if error.gone else PERMANENT if error.permanent else RETRY, error
    return SENT, None


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(http_module, "BODY_TIMEOUT_S", 0.3)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", NATIVE)
async def test_what_an_answer_means(name, case):
    planned, means, wait = CASES[case]
    native = NATIVE[name]
    async with receiving(step(planned, native.good)) as receiver:
        begun = time.monotonic()
        found, error = await outcome(native, receiver.url, LIMIT_S if planned == "hang" else PATIENT_S)
        took = time.monotonic() - begun
    assert found == BETTER.get((name, case), means)
    assert took < LIMIT_S + 10
    assert len(receiver.got) == 1, "it is the outbox that tries again, and redirects are not followed"
    if wait is not None:
        assert error
        assert wait - 5 <= error.retry_after <= wait
    if error and error.status:
        assert error.status == step(planned, "")[0] if isinstance(planned, tuple) else 200


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_internal_addresses_are_refused_before_anything_is_sent(name, host):
    native = NATIVE[name]
    kind = CHANNELS[native.kind]
    async with receiving() as receiver, HttpSender(timeout_s=LIMIT_S) as http:
        config = kind.config.model_validate(native.form(receiver.url.replace("127.0.0.1", host)))
        with pytest.raises(DeliveryError, match="not a public address") as caught:
            await kind.notify(config, FIRING, Delivery("n-1", datetime.now(UTC)), http)
        assert receiver.got == []
    assert caught.value.permanent


async def test_a_huge_answer_is_not_read_to_its_end():
    written = 0

    async def counted(request: web.Request) -> web.StreamResponse:
        nonlocal written
        answer = web.StreamResponse()
        await answer.prepare(request)
        while written < 1024:
            await answer.write(b"x" * 1024 * 1024)
            written += 1
        return answer

    async with receiving(counted) as receiver:
        assert (await outcome(NATIVE["webhook"], receiver.url))[0] == SENT
        await until(lambda: receiver.got)
    assert written < 64
