"""The proxy's routes: client endpoints, its own API, the worker's, and an answer for everything else."""

from dataclasses import dataclass
from functools import partial

from aiohttp import web

from data.model import Protocol
from proxy.forward import Forwarder
from proxy.guard import Handler, guarded
from proxy.live_socket import LiveSocket
from proxy.monitor import Monitor
from proxy.refusals import problem, refusal
from proxy.reply import drop_added_headers
from proxy.routing import ENDPOINTS, spoken
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


def make_app(parts: Parts, hosts: frozenset[str]) -> web.Application:
    """Return the routes. `hosts` are names the API answers to besides loopback ones."""
    app = web.Application()
    for asked in ENDPOINTS:
        app.router.add_route(asked.method, asked.path, partial(parts.forwarder.handle, asked))
    app.router.add_get("/health", parts.monitor.health)
    app.router.add_get("/metrics", parts.monitor.metrics)
    for path, handler in _own_api(parts):
        app.router.add_get(path, guarded(handler, hosts=hosts))
    app.router.add_route("*", "/api/system/{rest:.*}", not_found)
    app.router.add_route("*", "/api/{rest:.*}", guarded(parts.worker_api.handle, hosts=hosts))
    app.router.add_route("*", "/{rest:.*}", not_found)
    app.on_response_prepare.append(drop_added_headers)
    app.on_response_prepare.append(partial(_close_when_leaving, parts.forwarder))
    app.on_shutdown.append(parts.worker_socket.close)
    return app


async def _close_when_leaving(forwarder: Forwarder, _request: web.Request, answer: web.StreamResponse) -> None:
    if (forwarder.leaving or forwarder.stopping) and not isinstance(answer, web.WebSocketResponse):
        answer.force_close()
        answer.headers["Connection"] = "close"


async def not_found(request: web.Request) -> web.StreamResponse:
    """Answer what no route takes, in the shape of the provider that the caller means."""
    path = request.path[:200]
    if path.startswith(("/api/", "/ws/")):
        return problem(404, "Not Found", f"There is no {request.method} {path}.")
    protocol = _meant(request)
    if any(request.path == asked.path for asked in ENDPOINTS):
        return refusal(protocol, 405, f"{request.method} is not allowed for {path}.", code="method_not_allowed")
    return refusal(protocol, 404, f"This proxy has no endpoint {request.method} {path}.", code="unknown_endpoint")


def _meant(request: web.Request) -> Protocol:
    if request.path.startswith("/v1/messages"):
        return Protocol.ANTHROPIC
    return spoken(request.headers)


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
