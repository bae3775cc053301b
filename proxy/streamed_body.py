"""A request's body that is passed on as it comes: once, piece by piece, no faster than its provider takes it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from proxy.errors import BodyTooLarge, ClientGone, ProxyError
from proxy.faults import Phase

PIECE_BYTES: Final = 64 * 1024
_BROKEN: Final = (aiohttp.ClientError, aiohttp.http.HttpProcessingError, web.RequestPayloadError, OSError)


class StreamedBody:
    """The body of one client's request. What was taken of it is gone, and cannot be sent again."""

    def __init__(self, request: web.Request, limit: int) -> None:
        """`limit`: the most bytes it may have. Raises `BodyTooLarge` where it is said to have more."""
        self.length = request.content_length  # None where the client does not say
        if (self.length or 0) > limit:
            raise too_large(limit)
        self.most_bytes = limit if self.length is None else self.length
        self.taken = 0  # bytes
        self.ended = False
        self.failure: ProxyError | None = None  # why there will be no end
        self._content = request.content
        self._limit = limit
        self._unread = asyncio.Event()
        self._unread.set()

    @property
    def spent(self) -> bool:
        """Whether it can no longer be sent as a whole."""
        return self.taken > 0 or self.failure is not None

    async def pass_on(self, write: Callable[[bytes], Awaitable[object]], tell: Callable[[Phase], object]) -> None:
        """Give all of it to `write`; `tell` is told what is waited for next. Raises `ClientGone`, `BodyTooLarge`."""
        self._unread.clear()
        try:
            tell(Phase.CLIENT_SENDS)
            while piece := await self._next():
                tell(Phase.UPLOAD)
                await write(piece)
                tell(Phase.CLIENT_SENDS)
            self.ended = True
            tell(Phase.FIRST_BYTE)
        except ProxyError as error:
            self.failure = error
            raise
        finally:
            self._unread.set()

    async def settled(self) -> None:
        """Wait until nobody reads it any more: then it may be read by somebody else."""
        await self._unread.wait()

    async def _next(self) -> bytes:
        try:
            piece = await self._content.read(PIECE_BYTES)
        except _BROKEN as error:
            raise ClientGone(f"the request's body broke off ({type(error).__name__})") from error
        self.taken += len(piece)
        if self.taken > self._limit:
            raise too_large(self._limit)
        return piece


class StreamedPayload(aiohttp.Payload):
    """One attempt to send a streamed body; where the body fails, the connection to the provider is closed."""

    def __init__(self, body: StreamedBody, tell: Callable[[Phase], object]) -> None:
        """`tell`: see `StreamedBody.pass_on`."""
        super().__init__(body, content_type="application/octet-stream")
        self._size = body.length
        self._body = body
        self._tell = tell

    @property
    def consumed(self) -> bool:
        """Whether aiohttp must not send it again."""
        return self._body.spent

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send it. Raises `ClientGone`, `BodyTooLarge`."""
        try:
            await self._body.pass_on(writer.write, self._tell)
        except ProxyError:
            if writer.transport is not None:
                writer.transport.abort()
            raise

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> NoReturn:  # noqa: ARG002 - as aiohttp asks
        """Nobody has all of it."""
        raise TypeError("a streamed body has no text")


def too_large(limit: int) -> BodyTooLarge:
    """Return what a body is refused with that is longer than `limit` bytes."""
    return BodyTooLarge(f"The request's body is larger than this proxy's limit of {limit} bytes.")
