"""Who may use the API, its WebSockets and the metrics.

A proxy that listens on loopback is open to this machine: to its programs, and to pages that it served; a page of
another site must not be able to drive it through the browser of somebody who runs it, neither by a request across
sites (Origin) nor by a name that resolves to 127.0.0.1 (Host). Whoever else asks must show the configured token, and
so must everybody where the proxy listens to more than loopback. Pages of other sites are let in by name (CORS).
"""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import hdrs, web
from yarl import URL

from proxy.refusals import problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TOKEN_HEADER = "x-claude-proxy-token"  # noqa: S105 - the header's name
#: What an answer's head says of the pages that may read it; for handlers that send theirs themselves.
SHARED: web.RequestKey[Mapping[str, str]] = web.RequestKey("shared", Mapping)
_LOCAL_NAMES = frozenset({"localhost", "ip6-localhost"})
_UNSET = "Set proxy.api_token (CLAUDE_PROXY_PROXY_API_TOKEN does, too) and start the proxy again to use the API"
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": f"authorization, content-type, if-match, x-actor, {TOKEN_HEADER}",
    "Access-Control-Max-Age": "600",
}
_FORWARDED = frozenset({"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"})
_EXPOSED = "ETag, Retry-After"


@dataclass(frozen=True, slots=True)
class Access:
    """Who is let in. `bound_to` is where the proxy listens, `token` '' where none is configured."""

    bound_to: str
    token: str = field(default="", repr=False)
    origins: tuple[str, ...] = ()  # of pages of other sites


def guarded(handler: Handler, access: Callable[[], Access]) -> Handler:
    """Return `handler` behind the checks, by the rules that hold when somebody asks."""

    async def checked(request: web.Request) -> web.StreamResponse:
        rules = access()
        origin = _listed_origin(request.headers, rules)
        if origin and _is_preflight(request):
            return web.Response(status=204, headers={**_PREFLIGHT, **_shared_with(origin)})
        if rules.origins:
            request[SHARED] = _shared_with(origin) if origin else {"Vary": "Origin"}
        answer = refusal(request, rules) or await handler(request)
        if not answer.prepared:
            answer.headers.update(request.get(SHARED, {}))
        return answer

    return checked


def refusal(request: web.Request, access: Access) -> web.Response | None:
    """Return the problem that a request is answered with, None for one that is let in."""
    local = is_loopback(access.bound_to) and _is_from_here(request)
    if not local and not _shows_token(request.headers, access.token):
        return _unknown(access)
    host = _hostname(f"//{request.host}")
    if local and not is_loopback(host) and host != access.bound_to:
        return problem(403, "Forbidden", f"The API does not answer to the host name {request.host[:100]!r}.")
    origin = request.headers.get("Origin")
    if origin is not None and not _is_own_page(origin, host) and not _listed_origin(request.headers, access):
        return problem(403, "Forbidden", "The API does not answer to pages of other sites.")
    return None


def is_loopback(host: str) -> bool:
    """Whether `host` is an address or a name of this machine's loopback."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() in _LOCAL_NAMES
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _is_from_here(request: web.Request) -> bool:
    """Whether a program on this machine asks for itself: another proxy on it asks for somebody else."""
    return is_loopback(request.remote or "") and _FORWARDED.isdisjoint(map(str.lower, request.headers))


def _unknown(access: Access) -> web.Response:
    if access.token:
        why = f"Show the API's token: Authorization: Bearer …, or {TOKEN_HEADER}: …"
    else:
        why = f"The API is open to this machine only. {_UNSET}"
    answer = problem(401, "Unauthorized", f"{why}.")
    answer.headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="claude-proxy"'
    return answer


def _shows_token(headers: Mapping[str, str], token: str) -> bool:
    shown = headers.get(TOKEN_HEADER, "")
    if not shown:
        scheme, _, credentials = headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        shown = credentials.strip() if scheme.lower() == "bearer" else ""
    right = hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), token.encode("utf-8", "surrogateescape"))
    return right and bool(token)


def _listed_origin(headers: Mapping[str, str], access: Access) -> str:
    """Return the origin of a page that is let in by name, else ''."""
    origin = headers.get("Origin", "") if access.origins else ""
    return origin if origin.lower() in (listed.lower() for listed in access.origins) else ""


def _is_preflight(request: web.Request) -> bool:
    return request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers


def _shared_with(origin: str) -> dict[str, str]:
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": _EXPOSED,
        "Vary": "Origin",
    }


def _is_own_page(origin: str, host: str) -> bool:
    page = _hostname(origin)
    return bool(page) and (page == host or (is_loopback(page) and is_loopback(host)))


def _hostname(address: str) -> str:
    try:
        return URL(address).host or ""
    except ValueError:
        return ""
