"""What a route is: a method and a path, who answers, and one line for the API's description."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from pydantic import BaseModel

from data.tasks import Tasks
from engine.desk import Desk

DESK = web.AppKey("desk", Desk)
#: what serves open WebSockets, ended with the server
SOCKETS = web.AppKey("sockets", Tasks)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of the API; `body` describes what is posted, `query` the parameters that are understood."""

    method: str
    path: str
    handler: Handler
    summary: str
    body: type[BaseModel] | None = None
    query: tuple[str, ...] = ()
