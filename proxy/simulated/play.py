"""Plays an exchange on a connection: sends its steps when they are due and ends as it says."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from proxy.simulated.exchange import Ending, Exchange

_LOOK_S = 0.05


class Stage:
    """Where exchanges are played; `close` lets go of those that hang on purpose."""

    def __init__(self) -> None:
        self._closed = asyncio.Event()

    def close(self) -> None:
        """No exchange hangs from now on."""
        self._closed.set()

    async def hang(self, request: web.Request) -> None:
        """Wait until the client is gone or the stage is closed."""
        while not self._closed.is_set() and (wire := request.transport) is not None and not wire.is_closing():
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._closed.wait()
            except TimeoutError:
                continue


async def play(
    request: web.Request, exchange: Exchange, stage: Stage, note: Callable[[bool], None]
) -> web.StreamResponse:
    """Send `exchange` as the answer to `request`; `note` hears once whether all of it was sent."""
    if exchange.plain:
        return await _whole(exchange, note)
    told = _Once(note)
    try:
        return await _stepwise(request, exchange, stage, told)
    finally:
        told(False)


class _Once:
    """Passes on the first call only."""

    def __init__(self, note: Callable[[bool], None]) -> None:
        self._note: Callable[[bool], None] | None = note

    def __call__(self, complete: bool) -> None:  # noqa: FBT001 - the one thing that is reported
        note, self._note = self._note, None
        if note:
            note(complete)


async def _whole(exchange: Exchange, note: Callable[[bool], None]) -> web.Response:
    wait_s = sum(step.wait_s for step in exchange.steps)
    if wait_s:
        try:
            await asyncio.sleep(wait_s)
        except asyncio.CancelledError:
            note(False)
            raise
    note(True)
    body = b"".join(step.data for step in exchange.steps)
    return web.Response(body=body, status=exchange.status, headers=exchange.headers)


async def _stepwise(request: web.Request, exchange: Exchange, stage: Stage, note: _Once) -> web.StreamResponse:
    response = web.StreamResponse(status=exchange.status, headers=exchange.headers)
    response.content_length = exchange.content_length
    if exchange.steps:
        await _send(request, response, exchange)
    if exchange.ending is Ending.HANG:
        await stage.hang(request)
    if exchange.ending is not Ending.COMPLETE:
        if request.transport is not None:
            request.transport.close()
        return response
    note(True)
    await response.write_eof()
    return response


async def _send(request: web.Request, response: web.StreamResponse, exchange: Exchange) -> None:
    """Steps that are due at the same moment go out in one write."""
    due: list[bytes] = []
    for data, wait_s in exchange.steps:
        if wait_s:
            await _flush(request, response, due)
            await asyncio.sleep(wait_s)
        due.append(data)
    await _flush(request, response, due)


async def _flush(request: web.Request, response: web.StreamResponse, due: list[bytes]) -> None:
    if due:
        if not response.prepared:
            await response.prepare(request)
        await response.write(b"".join(due))
        due.clear()
