"""Who may use the API: it has no passwords, so a page of another site must not drive it through somebody's browser.

Neither by a request across sites (Origin) nor by a name that resolves to this machine (Host).
"""

import ipaddress

from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from engine.api.problems import problem
from engine.api.routes import DESK


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 403 to pages of other sites and, while the API listens on loopback, to names that are not."""
    why = refused(request.host, request.headers.get("Origin"), bound_to=request.app[DESK].config.worker.host)
    return problem(403, "Forbidden", why) if why else await handler(request)


def refused(host: str, origin: str | None, *, bound_to: str) -> str:
    """Why a request is refused, or ''."""
    name = _hostname(f"//{host}")
    if is_loopback(bound_to) and not is_loopback(name):
        return f"The API does not answer to the host name {host[:100]!r}."
    if origin is None:
        return ""
    page = _hostname(origin)
    if page != name and not (is_loopback(page) and is_loopback(name)):
        return "The API does not answer to pages of other sites."
    return ""


def is_loopback(host: str) -> bool:
    """Whether `host` is an address or the name of this machine's loopback."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _hostname(address: str) -> str:
    try:
        return URL(address).host or ""
    except ValueError:
        return ""
