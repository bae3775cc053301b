"""What a route of the proxy's own API is: who answers, and what the API's description says of it."""

import difflib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from proxy.refusals import problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a query: its JSON Schema, of which `type`, `minimum`, `maximum` and `enum` are enforced."""

    name: str
    text: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})

    def fault(self, value: str) -> str:
        """Return what is wrong with a value, '' where nothing is."""
        if (known := self.schema.get("enum")) is not None:
            return "" if value in known else f"{self.name} must be one of {', '.join(known)}"
        if self.schema.get("type") != "integer":
            return ""
        lowest, highest = self.schema.get("minimum", 0), self.schema.get("maximum", 2**53)
        fits = value.isascii() and value.isdigit() and len(value) <= 16 and lowest <= int(value) <= highest
        return "" if fits else f"{self.name} must be a whole number from {lowest} to {highest}"


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """One route. `query` are the parameters it understands, `body` what is posted, `answers` its statuses in words.

    `result` is the JSON Schema of its good answer, and of the bad ones in `told_so`, which are no problem documents;
    `media` is what a good answer is, where it is not JSON. `open`: whoever asks is answered.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    query: tuple[str | Parameter, ...] = ()
    body: type[BaseModel] | None = None
    answers: Mapping[int, str] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})
    media: str = "application/json"
    told_so: tuple[int, ...] = ()
    open: bool = False

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters; one that is only named takes any text."""
        return tuple(Parameter(known, "") if isinstance(known, str) else known for known in self.query)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Return the handler's answer, or a problem for a parameter that is unknown or not what it must be.

        A misspelt filter must not be answered with everything. Outside /api others' programs ask, which may add theirs.
        """
        asks = request.rel_url.raw_query_string and self.path.startswith("/api/")
        why = self._fault(request.query) if asks else ""
        return problem(400, "Bad Request", f"{why}.") if why else await self.handler(request)

    def _fault(self, query: Mapping[str, str]) -> str:
        known = {parameter.name: parameter for parameter in self.parameters}
        for name, value in query.items():
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1) or [*known]
                there = f"; there is {', '.join(close)}" if close else ""
                return f"There is no parameter {name[:100]!r} here{there}"
            if why := known[name].fault(value):
                return f"{why}, not {value[:100]!r}"
        return ""
