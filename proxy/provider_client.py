"""How requests leave for providers: as they are, and by the shortest way where they are small.

aiohttp's session makes some ten objects for a request, most of them for what is never used here: cookies, redirects,
authentication, proxies. A POST with a small body, which nearly every call is, takes a pooled connection of the same
connector itself, is written at once, and its answer is read by aiohttp's parser. All else goes through the session.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Final, NamedTuple
from typing import Protocol as Shape

import aiohttp
from aiohttp import hdrs
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage, StreamWriter
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy.time_limits import TimeLimits

#: A larger body is written beside the reading of the answer, which can come before its end.
AT_ONCE_BYTES: Final = 32 * 1024
#: A still larger one is written in pieces, which aiohttp does for files alone.
_ONE_WRITE_BYTES: Final = 256 * 1024
#: Providers' headers (content policies, cookies) and callers' (long beta lists) may be long.
MAX_HEADER_BYTES: Final = 64 * 1024
_NOT_ADDED: Final = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
_SWITCHING: Final = 101
_URLS_KNOWN: Final = 512


class Answer(Shape):
    """A provider's answer, whose head is here; `aiohttp.ClientResponse` is one."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def reason(self) -> str | None:
        """What stands behind the status."""
        ...

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """As they came."""
        ...

    @property
    def content(self) -> aiohttp.StreamReader:
        """The body, as it comes."""
        ...

    def close(self) -> None:
        """Let go of the connection; it is closed where the body has not ended."""
        ...


class Upload:
    """How far a request has left."""

    __slots__ = ("_tracker", "_written")

    def __init__(self) -> None:
        self._written = False
        self._tracker: aiohttp.UploadTracker | None = None

    @property
    def whole(self) -> bool:
        """Whether all of it has."""
        if self._tracker is None:
            return self._written
        complete = self._tracker.upload_complete
        return complete.done() and not complete.cancelled() and complete.exception() is None

    def written(self) -> None:
        """All of it was written at once."""
        self._written = True

    def tracked(self) -> aiohttp.UploadTracker:
        """It is written bit by bit, which what is returned sees."""
        self._tracker = aiohttp.UploadTracker()
        return self._tracker


class _Target(NamedTuple):
    """What is always the same of the requests to one URL."""

    to: aiohttp.ClientRequest  # tells the connector where to
    line: str
    headers: CIMultiDict[str]  # the host's, and credentials that stand in the URL


class _Direct:
    """An answer that was asked for without the session."""

    __slots__ = ("_connection", "content", "headers", "reason", "status")

    def __init__(self, connection: Connection, message: RawResponseMessage, body: aiohttp.StreamReader) -> None:
        self._connection = connection
        self.status: int = message.code
        self.reason: str | None = message.reason
        self.headers: CIMultiDictProxy[str] = message.headers
        self.content = body
        body.on_eof(connection.release)

    def close(self) -> None:
        self._connection.close()


class ProviderClient:
    """Asks providers. `session` adds, decodes, follows and remembers nothing."""

    def __init__(self, session: aiohttp.ClientSession, connector: aiohttp.BaseConnector) -> None:
        self._session = session
        self._connector = connector
        self._loop = asyncio.get_running_loop()
        self._target = lru_cache(_URLS_KNOWN)(self._new_target)

    async def ask(
        self, method: str, url: str, headers: CIMultiDict[str], body: bytes, limits: TimeLimits, *, upload: Upload
    ) -> Answer:
        """Send a request and return its answer, which has begun. Raises `aiohttp.ClientError`, TimeoutError.

        `upload` tells how far it left, whatever is raised.
        """
        if method == hdrs.METH_POST and 0 < len(body) <= AT_ONCE_BYTES:
            target = self._target(url)
            connection = await self._connected(target, limits)
            return await self._post(connection, target, headers, body, upload)
        data = (body if len(body) <= _ONE_WRITE_BYTES else io.BytesIO(body)) or None
        return await self._by_session(method, url, headers, data, limits, upload=upload)

    async def ask_streaming(
        self,
        method: str,
        url: str,
        headers: CIMultiDict[str],
        body: aiohttp.Payload,
        limits: TimeLimits,
        *,
        upload: Upload,
    ) -> Answer:
        """The same, with a body that comes while it leaves; the answer may begin before its end."""
        return await self._by_session(method, url, headers, body, limits, upload=upload)

    async def _by_session(
        self,
        method: str,
        url: str,
        headers: CIMultiDict[str],
        data: bytes | io.BytesIO | aiohttp.Payload | None,
        limits: TimeLimits,
        *,
        upload: Upload,
    ) -> Answer:
        to = URL(url, encoded=True)
        if hdrs.AUTHORIZATION in headers:
            to = to.with_user(None)  # what the call brings wins over what stands in the URL
        return await self._session.request(
            method,
            to,
            headers=headers,
            data=data,
            allow_redirects=False,
            timeout=limits.client_timeout,
            upload_tracker=upload.tracked(),
        )

    async def _connected(self, target: _Target, limits: TimeLimits) -> Connection:
        try:
            return await self._connector.connect(target.to, [], limits.client_timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {target.to.url.host}") from error

    async def _post(
        self, connection: Connection, target: _Target, headers: Mapping[str, str], body: bytes, upload: Upload
    ) -> Answer:
        try:
            return await self._answered(connection, target, headers, body, upload)
        except HttpProcessingError as error:
            connection.close()
            about = aiohttp.RequestInfo(target.to.url, hdrs.METH_POST, CIMultiDictProxy(CIMultiDict()))
            raise aiohttp.ClientResponseError(about, (), status=error.code, message=error.message) from error
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError) and not isinstance(error, aiohttp.ClientError):
                raise aiohttp.ClientOSError(*error.args) from error
            raise

    async def _answered(
        self, connection: Connection, target: _Target, headers: Mapping[str, str], body: bytes, upload: Upload
    ) -> Answer:
        protocol = connection.protocol
        if protocol is None:
            raise aiohttp.ClientConnectionError("Connection closed")
        protocol.set_response_params(
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        sent = target.headers.copy()
        if hdrs.AUTHORIZATION in headers:
            sent.popall(hdrs.AUTHORIZATION, None)
        sent.extend(headers)
        sent[hdrs.CONTENT_LENGTH] = str(len(body))
        writer = StreamWriter(protocol, self._loop)
        await writer.write_headers(target.line, sent)
        await writer.write_eof(body)
        upload.written()
        while True:
            message, content = await protocol.read()
            if message.code >= 200 or message.code == _SWITCHING or message.code < 100:
                return _Direct(connection, message, content)

    def _new_target(self, url: str) -> _Target:
        to = aiohttp.ClientRequest(
            hdrs.METH_GET, URL(url, encoded=True), skip_auto_headers=_NOT_ADDED, loop=self._loop, session=self._session
        )
        return _Target(to, f"POST {to.url.raw_path_qs} HTTP/1.1", to.headers)


@asynccontextmanager
async def provider_client(connect_s: float) -> AsyncIterator[tuple[ProviderClient, aiohttp.ClientSession]]:
    """Give what asks providers, and the session it uses, which other programs of ours may be asked by as well."""
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=60)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_s),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_NOT_ADDED,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
    ) as session:
        yield ProviderClient(session, connector), session
