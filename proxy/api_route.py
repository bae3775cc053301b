"""What a route of the proxy's own API is: who answers, and what the API's description says of it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web
from pydantic import BaseModel

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """One route. `query` are the parameters it understands, `body` what is posted, `answers` its statuses in words."""

    method: str
    path: str
    handler: Handler
    summary: str
    query: tuple[str, ...] = ()
    body: type[BaseModel] | None = None
    answers: Mapping[int, str] = field(default_factory=dict)
