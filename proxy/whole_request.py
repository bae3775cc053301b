"""How a request leaves for a provider: as it is, and in one write where it is small."""

from typing import Any, Final

import aiohttp
from aiohttp import hdrs
from aiohttp.connector import Connection
from aiohttp.http import StreamWriter
from multidict import CIMultiDict

#: A larger body is written by a task of its own, so that an answer can come before its end.
AT_ONCE_BYTES: Final = 32 * 1024
_NOT_ADDED: Final[CIMultiDict[None]] = CIMultiDict(
    dict.fromkeys(("Accept", "Accept-Encoding", "User-Agent", "Content-Type"))
)


class WholeRequest(aiohttp.ClientRequest):
    """A client request to which aiohttp adds no headers.

    A POST with a small body needs no task: head and body go out together (aiohttp would start a task for every body).
    """

    _whole: bytes | None = None

    def update_auto_headers(self, skip_auto_headers: Any) -> None:  # noqa: ARG002 - aiohttp's own signature
        """Add nothing."""
        self._skip_auto_headers = _NOT_ADDED

    def update_body_from_data(self, body: Any, _stacklevel: int = 3) -> None:
        """Keep a small body as it is; aiohttp wraps every other one."""
        # other methods than POST may be sent again, and then aiohttp asks for the body it has wrapped
        if type(body) is bytes and len(body) <= AT_ONCE_BYTES and self.method == hdrs.METH_POST:
            self._whole = body
            self.headers[hdrs.CONTENT_LENGTH] = str(len(body))
        else:
            super().update_body_from_data(body, _stacklevel + 1)

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Write the request; return its response, which has not begun."""
        protocol = conn.protocol
        if self._whole is None or protocol is None:
            return await super().send(conn)
        if protocol.writing_paused:
            super().update_body_from_data(self._whole)
            return await super().send(conn)
        writer = StreamWriter(protocol, self.loop)
        await writer.write_headers(f"{self.method} {self.url.raw_path_qs} HTTP/1.1", self.headers)
        await writer.write_eof(self._whole)
        if (tracker := self._upload_tracker) is not None:
            tracker._attempt_finished(self._upload_gen)  # noqa: SLF001 - as aiohttp's own `send` does
        protocol.start_timeout()
        return self.response_class(
            self.method,
            self.original_url,
            writer=None,
            continue100=None,
            timer=self._timer,
            request_info=self.request_info,
            traces=self._traces,
            loop=self.loop,
            session=self._session,
            stream_writer=writer,
        )
