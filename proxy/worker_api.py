"""The part of the API that the worker owns, at the proxy's address: requests are handed on as they are."""

import io
from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

from data.config import WorkerConfig
from proxy.call import read_body
from proxy.errors import BodyTooLarge, ClientGone
from proxy.guard import SHARED, TOKEN_HEADER
from proxy.headers import HOP_BY_HOP, response_headers
from proxy.refusals import problem
from proxy.reply import Reply

#: The token is for this proxy: the worker listens to this machine alone.
_NOT_SENT_ON = HOP_BY_HOP | {"host", "content-length", "origin", "authorization", TOKEN_HEADER}
#: A worker that says nothing for so long hangs; an answer that goes on may take longer.
HANGS_S: Final = 15.0
#: A test of a channel waits for the receiver as long as any notification does, and then has to say so.
TRIES_S: Final = 30.0
_MAX_BODY_BYTES = 32 * 1024 * 1024


class WorkerApi:
    """Forwards API requests to the worker; without a worker they are answered with a problem document."""

    def __init__(self, session: aiohttp.ClientSession, worker: WorkerConfig) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=120, connect=5, sock_read=HANGS_S)
        self._trying = aiohttp.ClientTimeout(total=120, connect=5, sock_read=TRIES_S)
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(worker.host, worker.host)  # noqa: S104 - not a bind
        self._base = f"http://{host}:{worker.port}"

    def url(self, request: web.Request) -> URL:
        """Return where the worker has what `request` asks for."""
        return URL(self._base + request.rel_url.raw_path_qs, encoded=True)

    async def handle(self, request: web.Request, *, most: int | None = None) -> web.StreamResponse:
        """Answer with the worker's answer; a body may have `most` bytes where that is less than any other may."""
        most = _MAX_BODY_BYTES if most is None else most
        try:
            body = await read_body(request, most)
        except BodyTooLarge:
            return problem(413, "Content Too Large", f"A body may have {most} bytes.")
        except ClientGone as error:
            return problem(400, "Bad Request", str(error))
        reply = Reply(request)
        try:
            return await self._ask(request, body, reply)
        except TimeoutError:
            return _broken(reply, 504, "Worker too slow", f"The worker at {self._base} said nothing for too long.")
        except ClientGone:
            return reply.cut()
        except (aiohttp.ClientError, OSError) as error:
            why = f"The worker at {self._base} does not answer ({type(error).__name__})."
            return _broken(reply, 503, "Worker unavailable", why)

    async def read(self, path: str) -> bytes:
        """Return what the worker answers to GET `path`. Raises aiohttp's errors, for a status of 400 and above too."""
        async with self._session.get(URL(self._base + path), timeout=self._timeout, raise_for_status=True) as answer:
            return await answer.read()

    async def _ask(self, request: web.Request, body: bytes, reply: Reply) -> web.StreamResponse:
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _NOT_SENT_ON]
        async with self._session.request(
            request.method,
            self.url(request),
            headers=headers,
            data=io.BytesIO(body) if body else None,
            allow_redirects=False,
            timeout=self._trying if request.path.endswith("/test") else self._timeout,
        ) as answer:
            sent = response_headers(answer.headers)
            sent.update(request.get(SHARED, {}))
            reply.head(answer.status, answer.reason, sent)
            await reply.begin()
            async for chunk in answer.content.iter_any():
                await reply.write(chunk)
            return await reply.finish(b"")


def _broken(reply: Reply, status: int, title: str, detail: str) -> web.StreamResponse:
    """Say what is wrong, or break off an answer that has begun."""
    return reply.cut() if reply.begun else problem(status, title, detail)
