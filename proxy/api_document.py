"""Serves the API's description: what the proxy answers itself, and what the worker says it answers."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import web

from proxy.api_route import ApiRoute
from proxy.monitor import answer, program_version
from proxy.openapi import description, joined
from proxy.worker_api import WorkerApi

_LIMIT_S: Final = 3.0


class ApiDocument:
    """The description of `routes` and of the worker's."""

    def __init__(self, worker: WorkerApi) -> None:
        self.routes: Sequence[ApiRoute] = ()
        self._worker = worker

    async def handle(self, _request: web.Request) -> web.Response:
        """Return the OpenAPI document; without the worker its part is missing, and a note says so."""
        own = description(self.routes, program_version())
        return answer(joined(own, await self._workers()))

    async def _workers(self) -> dict[str, Any] | None:
        try:
            async with asyncio.timeout(_LIMIT_S):
                found = msgspec.json.decode(await self._worker.read("/api/openapi.json"))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None
        return found if isinstance(found, dict) and isinstance(found.get("paths"), dict) else None
