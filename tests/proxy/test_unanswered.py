"""Calls that no byte of an answer came for: what the ledger says they cost, and what budgets count of them."""

import asyncio
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest

from data.model import CostStatus, LedgerRecord, Outcome
from tests.proxy.budget_worlds import begin_counting, budget
from tests.proxy.gateway import Script, answer, client, gateway, provider, until
from tests.proxy.samples import MESSAGE, MESSAGES

SOON = {"connect_timeout_s": 5, "first_byte_timeout_s": 0.3}
NOTE = "no answer was seen; input estimated from the request"
#: Longer than what the kernel takes for a provider that reads nothing.
LONG = MESSAGES.replace(b"hi", b"hi " * 3_000_000)
#: 89 bytes of a request at four a token, $3 a million
INPUT_USD = Decimal(23 * 3) / 1_000_000


async def hangs_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def says_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def speaks_mail(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 smtp ready\r\n\r\n")
    await writer.drain()
    writer.close()


@asynccontextmanager
async def reads_nothing(*, then_closes: bool) -> AsyncIterator[int]:
    """The port of a provider that takes connections, and reads nothing of what is sent."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if not then_closes:
            await done.wait()
        writer.transport.abort()

    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    async with await asyncio.start_server(serve, sock=listening, limit=1024):
        yield listening.getsockname()[1]
        done.set()


async def row(home: Path, url: str, body: bytes = MESSAGES, *, status: int) -> LedgerRecord:
    """What is written of a call that counts towards a budget."""
    begin_counting(home, [budget(amount_usd=1000)])
    async with gateway(home, url, settings=SOON) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages", data=io.BytesIO(body)) as got:
            assert got.status == status
        return await proxy.record()


def is_free(record: LedgerRecord) -> bool:
    money = (record.cost_usd, record.cost_status, record.liability_usd, record.uncached_input_tokens)
    return money == (Decimal(0), CostStatus.EXACT, None, 0)


@pytest.mark.parametrize(
    ("script", "status", "outcome", "error_class"),
    [
        pytest.param(hangs_up, 502, Outcome.ERROR, "provider_broke_off", id="hangs up"),
        pytest.param(speaks_mail, 502, Outcome.ERROR, "provider_broke_off", id="no http"),
        pytest.param(says_nothing, 504, Outcome.TIMEOUT, "first_byte_timeout", id="no answer in time"),
    ],
)
async def test_who_has_the_whole_request_may_charge_for_it(
    home: Path, script: Script, status: int, outcome: Outcome, error_class: str
):
    async with provider(script) as (url, _):
        record = await row(home, url, status=status)
    assert (record.outcome, record.status, record.error_class) == (outcome, status, error_class)
    assert (record.cost_usd, record.cost_status, record.cost_note) == (INPUT_USD, CostStatus.ESTIMATED, NOTE)
    assert record.uncached_input_tokens == 23
    # the input, and the answer of at most 64 tokens that nobody saw
    assert record.liability_usd is not None
    assert record.liability_usd > INPUT_USD


async def test_a_longer_request_too(home: Path):
    body = MESSAGES.replace(b"hi", b"hi " * 200_000)
    async with provider(hangs_up) as (url, seen):
        record = await row(home, url, body, status=502)
    assert seen.bodies == [body]
    assert (record.cost_status, record.cost_note) == (CostStatus.ESTIMATED, NOTE)


@pytest.mark.parametrize("closes", [True, False], ids=["hangs up", "reads no further"])
async def test_who_has_a_part_of_the_request_cannot_charge_for_it(home: Path, *, closes: bool):
    async with reads_nothing(then_closes=closes) as port:
        record = await row(home, f"http://127.0.0.1:{port}", LONG, status=502 if closes else 504)
    assert record.error_class == ("provider_broke_off" if closes else "first_byte_timeout")
    assert is_free(record)


async def test_before_there_is_a_connection_nothing_can_be_charged(home: Path):
    async with reads_nothing(then_closes=False) as port:  # and so never answers to the beginning of TLS
        record = await row(home, f"https://127.0.0.1:{port}", status=504)
    assert record.error_class == "first_byte_timeout"
    assert is_free(record)


async def test_a_client_that_hangs_up_before_there_is_a_connection_costs_nothing(home: Path):
    begin_counting(home, [budget(amount_usd=1000)])
    async with (
        reads_nothing(then_closes=False) as port,
        gateway(home, f"https://127.0.0.1:{port}") as proxy,
        client() as c,
    ):
        asking = asyncio.get_running_loop().create_task(c.post(f"{proxy.url}/v1/messages", data=MESSAGES))
        await until(lambda: bool(proxy.proxy.forwarder._active))
        asking.cancel()
        record = await proxy.record()
    assert (record.outcome, record.error_class) == (Outcome.DISCONNECTED, "client_disconnected")
    assert is_free(record)


@pytest.mark.parametrize("path", ["/anthropic/v1/anything", "/v1/models"])
async def test_a_question_that_changes_nothing_is_free_whatever_becomes_of_it(home: Path, path: str):
    async with provider(hangs_up) as (url, _), gateway(home, url) as proxy, client() as c:
        async with c.get(proxy.url + path) as got:
            assert got.status == 502
        record = await proxy.record()
    assert is_free(record)


async def test_an_error_that_breaks_off_is_free(home: Path):
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(MESSAGE, status="500 Oops")[:-20])
        await writer.drain()
        writer.close()

    async with provider(script) as (url, _), gateway(home, url) as proxy, client() as c:
        with suppress(aiohttp.ClientError):
            async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
                await got.read()
        record = await proxy.record()
    assert record.error_class == "provider_broke_off"
    assert is_free(record)
