"""The proxy's routes: client endpoints, its own API, the worker's, and an answer for everything else."""

from dataclasses import dataclass
from functools import partial

from aiohttp import web

from proxy.api_route import ApiRoute
from proxy.endpoints import ENDPOINTS, Unknown, read_line
from proxy.forward import Forwarder
from proxy.guard import Handler, guarded
from proxy.live_socket import LiveSocket
from proxy.monitor import Monitor
from proxy.refusals import problem, refusal
from proxy.reply import drop_added_headers
from proxy.worker_api import WorkerApi
from proxy.worker_socket import WorkerSocket


@dataclass(frozen=True, slots=True)
class Parts:
    """What answers requests."""

    forwarder: Forwarder
    monitor: Monitor
    live_socket: LiveSocket
    worker_api: WorkerApi
    worker_socket: WorkerSocket
    api: tuple[ApiRoute, ...] = ()


def make_app(parts: Parts, hosts: frozenset[str]) -> web.Application:
    """Return the routes. `hosts` are names the API answers to besides loopback ones."""
    app = web.Application()
    client = _client(parts)
    for path in dict.fromkeys(each.path for each in ENDPOINTS if "{" not in each.path):
        app.router.add_route("*", path, client)
    app.router.add_get("/health", parts.monitor.health)
    app.router.add_get("/metrics", parts.monitor.metrics)
    for path, handler in _own_api(parts):
        app.router.add_get(path, guarded(handler, hosts=hosts))
    for route in parts.api:
        app.router.add_route(route.method, route.path, guarded(route.handler, hosts=hosts))
    app.router.add_route("*", "/api/keys{rest:.*}", not_found)
    app.router.add_route("*", "/api/system/{rest:.*}", not_found)
    app.router.add_route("*", "/api/{rest:.*}", guarded(parts.worker_api.handle, hosts=hosts))
    app.router.add_route("*", "/ws/{rest:.*}", not_found)
    app.router.add_route("*", "/{rest:(?s:.*)}", client)  # line breaks in percent signs too
    app.on_response_prepare.append(drop_added_headers)
    app.on_response_prepare.append(partial(_close_when_leaving, parts.forwarder))
    app.on_shutdown.append(parts.worker_socket.close)
    return app


async def _close_when_leaving(forwarder: Forwarder, _request: web.Request, answer: web.StreamResponse) -> None:
    if (forwarder.leaving or forwarder.stopping) and not isinstance(answer, web.WebSocketResponse):
        answer.force_close()
        answer.headers["Connection"] = "close"


async def not_found(request: web.Request) -> web.StreamResponse:
    """Answer what the API does not have."""
    return problem(404, "Not Found", f"There is no {request.method} {request.path[:200]}.")


def _client(parts: Parts) -> Handler:
    """Return what answers clients: every path that is not the proxy's own."""

    async def handle(request: web.Request) -> web.StreamResponse:
        asked = read_line(
            request.method, request.rel_url.raw_path_qs, request.headers, parts.forwarder.standing.providers
        )
        if isinstance(asked, Unknown):
            return refusal(asked.protocol, asked.status, asked.message, code=asked.code)
        return await parts.forwarder.handle(asked, request)

    return handle


def _own_api(parts: Parts) -> tuple[tuple[str, Handler], ...]:
    monitor = parts.monitor
    return (
        ("/ws/live", parts.live_socket.handle),
        ("/ws/notifications", parts.worker_socket.handle),
        ("/api/system/health", monitor.health),
        ("/api/system/stats", monitor.stats),
        ("/api/system/request-feed", monitor.request_feed),
        ("/api/system/providers", monitor.providers),
        ("/api/system/spool", monitor.spool),
        ("/api/system/version", monitor.version),
    )
