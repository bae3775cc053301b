"""Bodies that are small on the wire and large for who reads them: other calls go on."""

import asyncio
import gzip
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import process_time

import pytest

from data.model import CostStatus
from data.tasks import Tasks
from tests.proxy.gateway import answer, chunked, client, gateway, provider
from tests.proxy.samples import EVENTS, MESSAGE, MESSAGES, STREAMED

LISTS = b"[]," * 11_000_000
#: Of computing: how long others have the machine meanwhile says nothing. What is to be seen froze for seconds.
LIMIT_S = 0.75


@asynccontextmanager
async def never_frozen() -> AsyncIterator[None]:
    """The event loop turns all the time."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        last = process_time()
        while True:
            await asyncio.sleep(0)
            longest = max(longest, process_time() - last)
            last = process_time()

    tasks = Tasks()
    tasks.start(watch(), name="watch")
    try:
        yield
    finally:
        await tasks.stop()
    assert longest < LIMIT_S


@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_a_request_of_lists_is_forwarded_and_freezes_nothing(tmp_path: Path, coding: str):
    lists = LISTS if coding == "gzip" else LISTS[:30_000_000]
    body = b'{"model":"claude-x","metadata":[%s0]}' % lists
    body = gzip.compress(body, 1) if coding == "gzip" else body
    async with provider(answer(MESSAGE)) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
        async with (
            never_frozen(),
            c.post(f"{proxy.url}/v1/messages", data=io.BytesIO(body), headers=headers) as got,
        ):
            assert got.status == 200
        assert seen.bodies == [body]
        assert (await proxy.record()).model_requested == ("" if coding == "gzip" else "claude-x")


@pytest.mark.parametrize("before", [b'{"usage":[', b'{"content":["'], ids=["lists", "text"])
async def test_an_answer_that_unpacks_without_end_freezes_nothing(tmp_path: Path, before: bytes):
    body = gzip.compress(before + b"[]," * 60_000_000, 1)
    wire = answer(body, headers="Content-Encoding: gzip\r\n")
    async with provider(wire) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with never_frozen(), c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert await got.read() == body
        record = await proxy.record()
    assert record.cost_status is CostStatus.ESTIMATED
    assert record.uncached_input_tokens > 0


async def test_a_stream_of_bombs_freezes_nothing(tmp_path: Path):
    bombs = [gzip.compress(b"data: {}\n\n" * 1_000_000, 1) for _ in range(3)]
    pieces = [gzip.compress(EVENTS[0]), *bombs, gzip.compress(b"".join(EVENTS[1:]))]
    wire = chunked(*pieces, headers="Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\n")
    async with provider(wire) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with never_frozen(), c.post(f"{proxy.url}/v1/messages", data=STREAMED) as got:
            assert await got.read() == b"".join(pieces)
        record = await proxy.record()
    assert record.cost_status is CostStatus.ESTIMATED


async def test_a_plain_answer_of_lists_freezes_nothing(tmp_path: Path):
    body = b'{"usage":{"output_tokens":3,"input_tokens":4,"x":[%s0]}}' % (b"[]," * 5_000_000)
    async with provider(answer(body)) as (url, _), gateway(tmp_path, url) as proxy, client() as c:
        async with never_frozen(), c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
            assert await got.read() == body
        assert (await proxy.record()).cost_status is CostStatus.ESTIMATED
