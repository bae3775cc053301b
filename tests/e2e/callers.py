"""Concurrent callers. Each call has its own number: a tag for the ledger, a user agent for the provider."""

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from tests.e2e.pieces import ALONE

CALLERS = 16
_PATIENCE = aiohttp.ClientTimeout(total=120)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a call asks for. `leave_after`: the client hangs up when it has seen so many events.

    The simulated provider has made its whole answer before it sends any of it. So `max_tokens` is less than what
    budgets allow for as having been on its way when an answer broke off.
    """

    simulate: str = ""
    stream: bool = True
    model: str = ALONE
    leave_after: int | None = None
    max_tokens: int = 200
    words: int = 20


@dataclass(frozen=True, slots=True)
class Told:
    """What came back; status 0: nothing. `whole`: the answer was read to its end and is a good one."""

    n: int
    ask: Ask
    status: int = 0
    whole: bool = False
    provider_request_id: str = ""
    should_retry: str = ""
    error: str = ""


async def call(session: aiohttp.ClientSession, url: str, n: int, ask: Ask) -> Told:
    """Make call `n`; whatever becomes of it is told, never raised."""
    told = Told(n, ask)
    try:
        async with session.post(f"{url}/v1/messages", data=_body(ask, n), headers=_headers(ask, n)) as answer:
            told = Told(
                n,
                ask,
                answer.status,
                provider_request_id=answer.headers.get("request-id", ""),
                should_retry=answer.headers.get("x-should-retry", ""),
            )
            text = await _read(answer, ask)
            good = answer.status == 200 and (b"message_stop" in text if ask.stream else b'"usage"' in text)
            return _with(told, whole=good and b"event: error" not in text, error=_error(answer.status, text))
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return _with(told, error=type(error).__name__)


async def keep_calling(
    url: str,
    numbers: Iterator[int],
    asks: Callable[[random.Random], Ask],
    until: Callable[[], bool],
    *,
    count: Callable[[Told], object] = lambda _: None,
    callers: int = CALLERS,
) -> list[Told]:
    """Call without a pause until told to stop, and `count` each; after a call in vain pause for a moment."""
    told: list[Told] = []

    async def caller(chance: random.Random) -> None:
        async with patient() as session:
            while not until():
                told.append(await call(session, url, next(numbers), asks(chance)))
                count(told[-1])
                if told[-1].status != 200:
                    await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        for seed in range(callers):
            group.create_task(caller(random.Random(seed)))
    return told


async def call_all(url: str, numbers: Iterator[int], asks: list[Ask]) -> list[Told]:
    """Make these calls, sixteen at once."""
    waiting, told = iter(asks), list[Told]()

    async def caller() -> None:
        async with patient() as session:
            for ask in waiting:
                told.append(await call(session, url, next(numbers), ask))

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(caller())
    return told


@asynccontextmanager
async def patient() -> AsyncIterator[aiohttp.ClientSession]:
    """A session whose calls may take long: the machine may be busy."""
    async with aiohttp.ClientSession(timeout=_PATIENCE) as session:
        yield session


def cycled(*asks: Ask) -> Callable[[random.Random], Ask]:
    """These asks in turn."""
    turn = itertools.cycle(asks)
    return lambda _: next(turn)


async def _read(answer: aiohttp.ClientResponse, ask: Ask) -> bytes:
    """The body; less of it where the client leaves early."""
    if ask.leave_after is None:
        return await answer.read()
    seen = b""
    while seen.count(b"\n\n") < ask.leave_after and (piece := await answer.content.readany()):
        seen += piece
    answer.close()
    return b""


def _headers(ask: Ask, n: int) -> dict[str, str]:
    named = {"x-simulate": ask.simulate} if ask.simulate else {}
    marks = {"user-agent": f"chaos/{n}", "x-claude-proxy-tags": f"n={n}"}
    return {"content-type": "application/json", "x-api-key": "sk-ant-caller", **named, **marks}


def _body(ask: Ask, n: int) -> bytes:
    content = f"{n} " + "word " * ask.words
    messages = [{"role": "user", "content": content}]
    body = {"model": ask.model, "max_tokens": ask.max_tokens, "stream": ask.stream, "messages": messages}
    return json.dumps(body).encode()


def _with(told: Told, *, whole: bool = False, error: str = "") -> Told:
    return Told(told.n, told.ask, told.status, whole, told.provider_request_id, told.should_retry, error)


def _error(status: int, text: bytes) -> str:
    return text.decode(errors="replace")[:300] if status >= 400 else ""
