"""The part of the API that the worker owns, at the proxy's address: requests are handed on as they are."""

import aiohttp
from aiohttp import web
from yarl import URL

from data.config import WorkerConfig
from proxy.headers import HOP_BY_HOP, response_headers
from proxy.refusals import problem

_NOT_SENT_ON = HOP_BY_HOP | {"host", "content-length", "origin"}
_TIMEOUT = aiohttp.ClientTimeout(total=120, connect=5)
_MAX_BODY_BYTES = 32 * 1024 * 1024


class WorkerApi:
    """Forwards API requests to the worker; without a worker they are answered with a problem document."""

    def __init__(self, session: aiohttp.ClientSession, worker: WorkerConfig) -> None:
        self._session = session
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(worker.host, worker.host)  # noqa: S104 - not a bind
        self._base = f"http://{host}:{worker.port}"

    def url(self, request: web.Request) -> URL:
        """Return where the worker has what `request` asks for."""
        return URL(self._base + request.rel_url.raw_path_qs, encoded=True)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer with the worker's answer."""
        if (request.content_length or 0) > _MAX_BODY_BYTES:
            return problem(413, "Content Too Large", f"A body may have {_MAX_BODY_BYTES} bytes.")
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _NOT_SENT_ON]
        url = self.url(request)
        body = await request.read() if request.body_exists else None
        try:
            async with self._session.request(
                request.method, url, headers=headers, data=body, allow_redirects=False, timeout=_TIMEOUT
            ) as answer:
                return await _passed_on(request, answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return problem(503, "Worker unavailable", f"The worker at {self._base} does not answer: {error}")


async def _passed_on(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    reply = web.StreamResponse(status=answer.status, reason=answer.reason, headers=response_headers(answer.headers))
    await reply.prepare(request)
    async for chunk in answer.content.iter_any():
        await reply.write(chunk)
    await reply.write_eof()
    return reply
