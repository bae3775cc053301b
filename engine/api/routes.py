"""What a route is: a method and a path, who answers, and one line for the API's description."""

import difflib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from data.tasks import Tasks
from engine.api.parameters import ANY_FILTER, Parameter
from engine.api.problems import BadRequest
from engine.desk import Desk
from engine.inbox_following import Following

DESK = web.AppKey("desk", Desk)
#: what serves open WebSockets, ended with the server
SOCKETS = web.AppKey("sockets", Tasks)
FOLLOWING = web.AppKey("following", Following)

#: The answer of a route that lists things.
LISTING: Mapping[str, Any] = {
    "type": "object",
    "required": ["items", "next"],
    "properties": {
        "items": {"type": "array", "items": {"type": "object"}},
        "next": {"type": ["string", "null"]},
    },
}

__all__ = ["ANY_FILTER", "DESK", "FOLLOWING", "LISTING", "SOCKETS", "Handler", "Route"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of the API; `body` describes what is posted, `query` the parameters that are understood.

    `headers` are those it understands besides, `good` is the status of a good answer, `result` its JSON Schema,
    `refuses` the statuses that only this route has, `media` the type of a good answer's body.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    body: type[BaseModel] | None = None
    query: tuple[str | Parameter, ...] = ()
    good: int = 200
    result: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})
    refuses: tuple[int, ...] = ()
    media: str = "application/json"
    headers: tuple[Parameter, ...] = ()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The handler's answer; raises BadRequest for a parameter that the route does not understand.

        A misspelt filter must not be answered with the figure over everything.
        """
        known = [each.name if isinstance(each, Parameter) else each for each in self.query]
        for name in request.query:
            if name not in known and not (name.startswith("filter.") and ANY_FILTER in known):
                close = difflib.get_close_matches(name, known, n=1) or known
                raise BadRequest(
                    f"there is no parameter {name!r} here" + (f"; there is {', '.join(close)}" if close else "")
                )
        return await self.handler(request)
