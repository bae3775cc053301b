"""/ws/live: one message a second to everybody who listens; who does not read is dropped, and delays nobody."""

import asyncio
import time
from dataclasses import dataclass

import aiohttp
import msgspec
from aiohttp import web

from data.tasks import Tasks
from proxy import upgrade
from proxy.live import Live

INTERVAL_S = 1.0
SEND_LIMIT_S = 1.0
MAX_LISTENERS = 100
_encoder = msgspec.json.Encoder()


@dataclass(slots=True, eq=False)
class _Listener:
    socket: web.WebSocketResponse
    transport: asyncio.BaseTransport | None
    seen: int = 0  # the newest feed item it was told
    sending: asyncio.Task[None] | None = None


class Second:
    """One second's message: what holds for all is encoded once, and the calls once for all who saw the same ones."""

    def __init__(self, live: Live, now_s: float) -> None:
        self._live = live
        self._state = _encoder.encode(live.state(now_s))[:-1] + b',"recent":'
        self._messages: dict[int, bytes] = {}
        self.newest = live.newest

    def after(self, seen: int) -> bytes:
        """Return the message for a listener that was told of calls up to number `seen`."""
        message = self._messages.get(seen)
        if message is None:
            message = self._state + _encoder.encode(self._live.feed(after=seen)) + b"}"
            self._messages[seen] = message
        return message


class LiveSocket:
    """The WebSocket's handler and its clock."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._listeners: set[_Listener] = set()
        self._sends = Tasks()
        self.dropped = 0  # listeners that did not read

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one listener until it leaves."""
        if (refused := upgrade.refused(request)) is not None:
            return refused
        socket = web.WebSocketResponse(heartbeat=30.0, max_msg_size=4096, compress=False)
        await socket.prepare(request)
        if len(self._listeners) >= MAX_LISTENERS:
            await socket.close(code=aiohttp.WSCloseCode.TRY_AGAIN_LATER, message=b"too many listeners")
            return socket
        listener = _Listener(socket, request.transport)
        self._listeners.add(listener)
        try:
            self._tell(listener, Second(self._live, time.time()))
            async for _ in socket:
                pass  # listeners have nothing to say
        finally:
            self._listeners.discard(listener)
        return socket

    async def run(self) -> None:
        """Tell all listeners, once a second, for ever."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            if self._listeners:
                second = Second(self._live, time.time())
                for listener in self._listeners:
                    self._tell(listener, second)

    async def close(self) -> None:
        """Say goodbye to all listeners."""
        goodbyes = (listener.socket.close(code=aiohttp.WSCloseCode.GOING_AWAY) for listener in self._listeners)
        await asyncio.gather(*goodbyes, return_exceptions=True)
        await self._sends.stop()

    def _tell(self, listener: _Listener, second: Second) -> None:
        """Send a listener the second's message; one that still has not taken the last one gets the next."""
        if listener.sending is not None and not listener.sending.done():
            return
        message, listener.seen = second.after(listener.seen), second.newest
        listener.sending = self._sends.start(self._send(listener, message), name="live listener")

    async def _send(self, listener: _Listener, message: bytes) -> None:
        try:
            async with asyncio.timeout(SEND_LIMIT_S):
                await listener.socket.send_frame(message, aiohttp.WSMsgType.TEXT)
        except TimeoutError:
            self.dropped += 1
            self._cut(listener)
        except (ConnectionError, aiohttp.ClientError):
            self._cut(listener)

    def _cut(self, listener: _Listener) -> None:
        self._listeners.discard(listener)
        if isinstance(listener.transport, asyncio.WriteTransport):
            listener.transport.abort()
