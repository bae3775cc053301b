"""The proxy's routes: client endpoints, its own API, the worker's, and an answer for everything else."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import uuid_utils
from aiohttp import web

from proxy import monitor_api
from proxy.api_document import ApiDocument
from proxy.api_route import ApiRoute, Handler
from proxy.crosstalk.crosstalk import Crosstalk
from proxy.crosstalk.socket import CrosstalkSocket
from proxy.endpoints import ENDPOINTS, Unknown, read_line
from proxy.forward import Forwarder
from proxy.guard import Access, guarded
from proxy.live_socket import LiveSocket
from proxy.monitor import Monitor
from proxy.openapi import plain
from proxy.refusals import problem, refusal
from proxy.standing import Standing
from proxy.worker_api import WorkerApi
from proxy.worker_socket import WorkerSocket

#: Whatever follows, an encoded line break too, which a dot would not match.
_REST = r"{rest:[\s\S]*}"
#: Calls of PagerDuty's, and how large one may be before it is known to be that.
_SIGNED = r"/api/notifications/channels/{id:[\w\-]+}/pagerduty"
_MOST_SIGNED = 1024 * 1024
_REQUEST_ID: Final = "x-claude-proxy-request-id"


class TakesRefusals(Protocol):
    """Is told of each call that the proxy itself refuses. `endpoint` and `key` are '' where they are not known."""

    def __call__(self, endpoint: str, status: int, code: str, *, request_id: str, key: str) -> object:
        """Take note of one."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What answers requests."""

    forwarder: Forwarder
    monitor: Monitor
    live_socket: LiveSocket
    worker_api: WorkerApi
    worker_socket: WorkerSocket
    refused: TakesRefusals
    crosstalk: Crosstalk
    followers: CrosstalkSocket  # of its conversations
    follow: Callable[[Standing], None]  # serve by another configuration from now on; raises TelemetryUnavailable
    api: tuple[ApiRoute, ...] = ()


def make_app(parts: Parts, client: Handler, access: Callable[[], Access]) -> web.Application:
    """Return the routes. `client` answers calls of clients; `access` says who may use the API when somebody asks."""
    app = web.Application()
    document = ApiDocument(parts.worker_api)
    own = monitor_api.routes(
        parts.monitor, document, live=parts.live_socket.handle, notifications=parts.worker_socket.handle
    )
    document.routes = (*own, *parts.api)
    for route in document.routes:
        _add(app.router, route, access)
    for path in dict.fromkeys(route.path for route in document.routes):
        app.router.add_route("*", path, guarded(partial(_other_method, document.routes), access))
    for owned in ("/api/system/", "/api/keys", "/api/budget/", "/api/crosstalk/"):
        app.router.add_route("*", owned + _REST, guarded(not_found, access))
    # who calls from outside here shows a signature, which the worker checks
    app.router.add_post(_SIGNED, partial(parts.worker_api.handle, most=_MOST_SIGNED))
    app.router.add_route("*", "/api/" + _REST, guarded(parts.worker_api.handle, access))
    app.router.add_route("*", "/ws/" + _REST, not_found)
    app.router.add_route("*", "/" + _REST, client)
    app.on_response_prepare.append(partial(_before_head, parts.forwarder))
    app.on_shutdown.append(parts.worker_socket.close)
    return app


async def _before_head(forwarder: Forwarder, _request: web.Request, answer: web.StreamResponse) -> None:
    if forwarder.leaving and not isinstance(answer, web.WebSocketResponse):
        answer.force_close()
        answer.headers["Connection"] = "close"


def _add(router: web.UrlDispatcher, route: ApiRoute, access: Callable[[], Access]) -> None:
    handler = route.answer if route.open else guarded(route.answer, access)
    if route.method == "GET":
        router.add_get(route.path, handler)  # HEAD too
    else:
        router.add_route(route.method, route.path, handler)


async def _other_method(routes: tuple[ApiRoute, ...], request: web.Request) -> web.StreamResponse:
    resource = request.match_info.route.resource
    path = resource.canonical if resource is not None else request.path
    allowed = ", ".join(sorted({route.method for route in routes if plain(route.path) == path}))
    answer = problem(405, "Method Not Allowed", f"{request.path[:200]} takes {allowed}, not {request.method[:20]}.")
    answer.headers["Allow"] = allowed
    return answer


async def not_found(request: web.Request) -> web.StreamResponse:
    """Answer what the API does not have."""
    return problem(404, "Not Found", f"There is no {request.method} {request.path[:200]}.")


def straight(client: Handler) -> dict[str, Handler]:
    """Return the paths at which `client` answers without any routing: most calls are for these."""
    return dict.fromkeys((each.path for each in ENDPOINTS if "{" not in each.path), client)


def client_handler(parts: Parts) -> Handler:
    """Return what answers clients: every path that is not the proxy's own."""

    async def handle(request: web.Request) -> web.StreamResponse:
        request_id = str(uuid_utils.uuid7())
        asked = read_line(
            request.method, request.rel_url.raw_path_qs, request.headers, parts.forwarder.standing.providers
        )
        if isinstance(asked, Unknown):
            answer: web.StreamResponse = refusal(asked.protocol, asked.status, asked.message, code=asked.code)
        else:
            answer = await parts.forwarder.handle(asked, request, request_id)
        if (code := answer.headers.get("x-claude-proxy-error")) is not None:
            endpoint = "" if isinstance(asked, Unknown) else asked.endpoint
            parts.refused(endpoint, answer.status, code, request_id=request_id, key=parts.forwarder.key_of(request))
        if not answer.prepared:
            answer.headers.setdefault(_REQUEST_ID, request_id)
            if parts.forwarder.leaving:
                answer.force_close()
        return answer

    return handle
