"""What a route is: a method and a path, who answers, and one line for the API's description."""

import difflib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from pydantic import BaseModel

from data.tasks import Tasks
from engine.api.problems import BadRequest
from engine.desk import Desk

DESK = web.AppKey("desk", Desk)
#: what serves open WebSockets, ended with the server
SOCKETS = web.AppKey("sockets", Tasks)

#: Stands for a filter on any dimension among a route's parameters.
ANY_FILTER = "filter.{dimension}"

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

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The handler's answer; raises BadRequest for a parameter that the route does not understand.

        A misspelt filter must not be answered with the figure over everything.
        """
        for name in request.query:
            if name not in self.query and not (name.startswith("filter.") and ANY_FILTER in self.query):
                close = difflib.get_close_matches(name, self.query, n=1) or self.query
                raise BadRequest(
                    f"there is no parameter {name!r} here" + (f"; there is {', '.join(close)}" if close else "")
                )
        return await self.handler(request)
