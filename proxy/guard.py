"""Who may use the API and its WebSockets: programs on this machine, and pages that were served by it.

The API has no passwords, so a page of another site must not be able to drive it through the browser of somebody
who runs the proxy: neither by a request across sites (Origin) nor by a name that resolves to 127.0.0.1 (Host).
"""

import ipaddress
from collections.abc import Awaitable, Callable, Collection

from aiohttp import web
from yarl import URL

from proxy.refusals import problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_LOCAL_NAMES = frozenset({"localhost", "ip6-localhost"})


def guarded(handler: Handler, *, hosts: Collection[str]) -> Handler:
    """Return `handler` behind the checks; `hosts` are the names that requests may be addressed to, besides loopback."""

    async def checked(request: web.Request) -> web.StreamResponse:
        why = refused(request, hosts)
        return problem(403, "Forbidden", why) if why else await handler(request)

    return checked


def refused(request: web.Request, hosts: Collection[str]) -> str:
    """Return why a request is refused, or ''."""
    if not is_loopback(request.remote or ""):
        return "The API is open to this machine only."
    if not _is_known(_hostname(f"//{request.host}"), hosts):
        return f"The API does not answer to the host name {request.host[:100]!r}."
    origin = request.headers.get("Origin")
    if origin is not None and not _is_known(_hostname(origin), hosts):
        return "The API does not answer to pages of other sites."
    return ""


def is_loopback(host: str) -> bool:
    """Whether `host` is an address or a name of this machine's loopback."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() in _LOCAL_NAMES
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _is_known(host: str, hosts: Collection[str]) -> bool:
    return is_loopback(host) or host in hosts


def _hostname(address: str) -> str:
    try:
        return URL(address).host or ""
    except ValueError:
        return ""
