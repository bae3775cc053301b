"""Whether a request opens a WebSocket."""

from aiohttp import web

from proxy.refusals import problem


def refused(request: web.Request) -> web.Response | None:
    """Return the problem for a request that opens none, None for one that does."""
    if web.WebSocketResponse().can_prepare(request).ok:
        return None
    return problem(400, "Bad Request", f"{request.path} is a WebSocket: ask with Upgrade: websocket.")
