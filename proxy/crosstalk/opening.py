"""Conversations run while the proxy listens, and call it at an address where no other proxy answers."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from data.tasks import Tasks
from proxy.crosstalk.crosstalk import Crosstalk
from proxy.crosstalk.socket import CrosstalkSocket

_LOOPBACK: Final = "127.0.0.1"
#: What a proxy listens on that listens on all addresses, and where it is reached then.
_ANYWHERE: Final = {"http://0.0.0.0:": "http://127.0.0.1:", "http://[::]:": "http://[::1]:"}


@asynccontextmanager
async def open_crosstalk(
    crosstalk: Crosstalk, followers: CrosstalkSocket, tasks: Tasks, runner: web.AppRunner, url: str, *, shared: bool
) -> AsyncIterator[None]:
    """Run conversations while the context lasts; leaving it ends them. `shared`: other proxies listen at `url` too."""
    crosstalk.address = await _door(runner) if shared else _reached(url)
    tasks.start(crosstalk.run(), name="crosstalk")
    try:
        yield
    finally:
        await crosstalk.close()
        await followers.close()


def _reached(url: str) -> str:
    for start, reached in _ANYWHERE.items():
        if url.startswith(start):
            return reached + url.removeprefix(start)
    return url


async def _door(runner: web.AppRunner) -> str:
    """Listen on a port of this machine's own, for the conversations that run here: their records are closed here."""
    listening = socket.socket()
    listening.bind((_LOOPBACK, 0))
    await web.SockSite(runner, listening).start()
    return f"http://{_LOOPBACK}:{listening.getsockname()[1]}"
