"""Two proxies on one socket: one may be restarted under load, and no call fails."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import ROOT
from tests.proxy.gateway import answer, provider, until
from tests.proxy.samples import MESSAGE, MESSAGES

CALLERS = 16
pytestmark = pytest.mark.slow


@asynccontextmanager
async def proxy_process(home: Path, upstream: str, shared: socket.socket) -> AsyncIterator[asyncio.subprocess.Process]:
    environ = {
        **os.environ,
        "CLAUDE_PROXY_HOME": str(home),
        "CLAUDE_PROXY_PROVIDERS_ANTHROPIC_BASE_URL": upstream,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "--fd", str(shared.fileno())),
        cwd=ROOT,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        pass_fds=(shared.fileno(),),
    )
    try:
        assert process.stdout is not None
        assert (await process.stdout.readline()).startswith(b"proxy ready"), "the proxy did not start"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Callers:
    """Calls one after the other, on connections that are kept; none is ever made again."""

    def __init__(self, url: str) -> None:
        self.answered = 0
        self.failed: list[str] = []
        self.stopping = False
        self._url = url

    async def run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            await asyncio.gather(*(self._call(session) for _ in range(CALLERS)))

    async def _call(self, session: aiohttp.ClientSession) -> None:
        while not self.stopping:
            try:
                async with session.post(f"{self._url}/v1/messages", data=MESSAGES, headers={"x-api-key": "k"}) as got:
                    whole = await got.read() == MESSAGE
                if got.status == 200 and whole:
                    self.answered += 1
                else:
                    self.failed.append(f"status {got.status}")
            except (aiohttp.ClientError, TimeoutError) as error:
                self.failed.append(repr(error))


async def test_a_restart_under_load_fails_no_call(home: Path):
    with socket.socket() as shared:
        shared.bind(("127.0.0.1", 0))
        shared.listen(1024)
        callers = Callers(f"http://127.0.0.1:{shared.getsockname()[1]}")
        async with provider(answer(MESSAGE)) as (url, seen), proxy_process(home, url, shared) as first:
            load = asyncio.get_running_loop().create_task(callers.run())
            async with proxy_process(home, url, shared):
                await until(lambda: callers.answered > 200)
                first.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(first.wait(), 60) == 0
                after = callers.answered
                async with proxy_process(home, url, shared):
                    await until(lambda: callers.answered > after + 200)
                    callers.stopping = True
                    await load
    assert callers.failed == []
    assert len(seen.bodies) == callers.answered
