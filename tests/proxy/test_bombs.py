"""Bodies that are small on the wire and large for who reads them: other calls go on."""

import asyncio
import gzip
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

import pytest

from data.tasks import Tasks
from tests.proxy.gateway import answer, client, gateway, provider
from tests.proxy.samples import MESSAGE

LISTS = b"[]," * 11_000_000
#: Generous for a busy machine; what is to be seen froze for seconds.
LIMIT_S = 0.5


@asynccontextmanager
async def never_frozen() -> AsyncIterator[None]:
    """The event loop turns all the time."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        last = perf_counter()
        while True:
            await asyncio.sleep(0)
            longest = max(longest, perf_counter() - last)
            last = perf_counter()

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
