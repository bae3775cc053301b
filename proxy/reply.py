"""The client's end of one call: the provider's answer goes out as it came, or breaks off as it broke off."""

import asyncio
from collections.abc import Awaitable
from typing import Final

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

from proxy.errors import ClientGone

_ADDABLE: Final = ("Server", "Date", "Content-Type")


class _AsProvided(web.StreamResponse):
    """An answer with the provider's headers alone."""

    async def _prepare_headers(self) -> None:
        missing = [name for name in _ADDABLE if name not in self._headers]
        await super()._prepare_headers()
        for name in missing:
            self._headers.popall(name, None)


class _Whole(web.Response, _AsProvided):
    """One that is here in one piece."""

    async def _start(self, request: web.BaseRequest) -> AbstractStreamWriter:
        if request.method != hdrs.METH_POST or self._status != 200 or request.version != HttpVersion11:
            return await super()._start(request)
        # of such an answer, as nearly all are, there is nothing to find out
        self._req = request
        self._keep_alive = request.keep_alive if self._keep_alive is None else self._keep_alive
        if not self._keep_alive:
            self._headers[hdrs.CONNECTION] = "close"
        if hdrs.CONTENT_LENGTH not in self._headers:
            self._headers[hdrs.CONTENT_LENGTH] = str(self.content_length)
        writer = self._payload_writer = request._payload_writer  # noqa: SLF001 - as aiohttp's own does
        await writer.write_headers(f"HTTP/1.1 200 {self._reason}", self._headers)
        return writer


class Reply:
    """Writes one answer."""

    def __init__(self, request: web.Request, closing: asyncio.Event | None = None, *, keep_going: bool = False) -> None:
        """`closing`: set while each answer is its connection's last; None: others see to that.

        `keep_going`: a client that has gone is no error, what it would get is dropped.
        """
        self._request = request
        self._closing = closing
        self._keep_going = keep_going
        self._answer: web.StreamResponse | None = None
        self._status = 0
        self._reason: str | None = None
        self._headers: CIMultiDict[str] = CIMultiDict()
        self.gone = False
        self.last = False  # the connection ends with this answer

    @property
    def begun(self) -> bool:
        """Whether the client has been sent something."""
        return self._answer is not None

    @property
    def hung_up(self) -> bool:
        """Whether the client's connection is gone."""
        transport = self._request.transport
        return transport is None or transport.is_closing()

    @property
    def status(self) -> int:
        """The status the client has been sent; 0 before that."""
        return self._status if self._answer is not None else 0

    @property
    def intended(self) -> int:
        """The status that the answer begins with."""
        return self._status

    def retitle(self, status: int) -> None:
        """Begin with another status, and with a plain JSON body instead of the provider's."""
        self._status, self._reason = status, None
        for name in ("Content-Encoding", "Content-Length", "Content-Type"):
            self._headers.popall(name, None)
        self._headers["Content-Type"] = "application/json"

    def rewritten(self) -> None:
        """Begin without what said how the provider's body was coded and how long it was."""
        for name in ("Content-Encoding", "Content-Length"):
            self._headers.popall(name, None)

    def head(self, status: int, reason: str | None, headers: CIMultiDict[str]) -> None:
        """Say what the answer begins with; nothing is sent yet."""
        self._status, self._reason, self._headers = status, reason, headers

    async def begin(self) -> web.StreamResponse:
        """Send the head. Raises `ClientGone`."""
        answer = _AsProvided(status=self._status, reason=self._reason, headers=self._headers)
        if self.last or (self._closing is not None and self._closing.is_set()):
            answer.force_close()
        self._answer = answer
        await self._sending(answer.prepare(self._request))
        return answer

    async def write(self, data: bytes) -> None:
        """Send more of the body, the head first; waits for a client that reads slowly. Raises `ClientGone`."""
        answer = self._answer or await self.begin()
        if data and not self.gone:
            await self._sending(answer.write(data))

    async def finish(self, tail: bytes) -> web.StreamResponse:
        """Send the rest; an answer that is here in one piece leaves in one piece."""
        if self._answer is None:
            return _Whole(status=self._status, reason=self._reason, headers=self._headers, body=tail)
        if not self.gone:
            await self._sending(self._answer.write_eof(tail))
        return self._answer

    def cut(self) -> web.StreamResponse:
        """Close the connection without the answer's end, so that the client sees that it broke off."""
        if self._request.transport is not None:
            self._request.transport.close()
        return self._answer or web.Response()

    async def _sending(self, sending: Awaitable[object]) -> None:
        try:
            await sending
        except ConnectionError as error:
            self.gone = True
            if not self._keep_going:
                raise ClientGone("the client hung up") from error
