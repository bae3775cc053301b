"""The proxy's own state over HTTP: /health, /metrics, /api/system/*."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
from aiohttp import web

from data.config import Config
from proxy.health import Condition, Status, checks, overall
from proxy.live import Live
from proxy.metrics import Metrics
from proxy.spool import SpoolBacklog

_encoder = msgspec.json.Encoder()


def _nothing() -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Sources:
    """What is read when somebody asks: the proxy's condition, its spool, and how its telemetry goes."""

    condition: Callable[[], Condition]
    backlog: Callable[[], SpoolBacklog]
    telemetry: Callable[[], Mapping[str, Any]] = _nothing


class Monitor:
    """Answers questions about this proxy. `config` may be exchanged at any time."""

    def __init__(self, config: Config, live: Live, metrics: Metrics, sources: Sources) -> None:
        self.config = config
        self._live = live
        self._metrics = metrics
        self._sources = sources

    async def health(self, _request: web.Request) -> web.Response:
        """`{"status": "ok|degraded|failing", "checks": {name: {"status", "detail"}}}`; 503 when calls are refused."""
        found = checks(self._sources.condition())
        status = overall(found)
        body = {"status": status, "checks": {name: dataclasses.asdict(check) for name, check in found.items()}}
        return answer(body, status=503 if status is Status.FAILING else 200)

    async def metrics(self, _request: web.Request) -> web.Response:
        """Prometheus' text format."""
        return web.Response(
            body=self._metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def stats(self, _request: web.Request) -> web.Response:
        """The live message without its feed, the spool, and how the telemetry goes."""
        more = {
            "spool": dataclasses.asdict(self._sources.backlog()),
            "telemetry": self._sources.telemetry(),
            "version": program_version(),
        }
        return answer({**self._live.state(time.time()), **more})

    async def request_feed(self, request: web.Request) -> web.Response:
        """The newest calls first; `after` (an item's `number`) gives those since; `next` is the next `after`."""
        limit = int(request.query.get("limit", "50"))
        after = int(request.query["after"]) if request.query.get("after") else None
        items = self._live.feed(after=after, limit=limit)
        reached = items[0]["number"] if items else (after or 0)
        return answer({"items": items, "next": str(reached)})

    async def spool(self, _request: web.Request) -> web.Response:
        """What waits for the store."""
        return answer(dataclasses.asdict(self._sources.backlog()))

    async def providers(self, _request: web.Request) -> web.Response:
        """The configured providers with their rates of the last minute and their health; keys are never shown."""
        rates = self._live.providers(time.time(), also=self.config.providers)
        items = [
            {
                "name": provider.name,
                "protocol": provider.protocol,
                "base_url": provider.base_url,
                "own_key": bool(provider.credentials),
                **rates[provider.name],
            }
            for provider in self.config.providers.values()
        ]
        return answer({"items": items, "next": None})

    async def limits(self, _request: web.Request) -> web.Response:
        """How near each credential of a provider is to the provider's own limits, as its last answer told."""
        return answer({"items": self._live.limits.report(time.time()), "next": None})

    async def version(self, _request: web.Request) -> web.Response:
        """The program's version."""
        return answer({"version": program_version()})


def answer(body: Mapping[str, Any], *, status: int = 200) -> web.Response:
    """Return `body` as JSON."""
    return web.Response(status=status, body=_encoder.encode(body), content_type="application/json")


def program_version() -> str:
    """Return the installed version, or 0 where the program runs from its sources alone."""
    try:
        return version("claude-proxy-analytics")
    except PackageNotFoundError:
        return "0"
