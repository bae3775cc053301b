"""Which program is up: asked over HTTP with a short limit, the store over its socket, all at the same time."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

from app.stack import reachable, url
from data.config import Config
from data.errors import StoreError
from data.store import Store

LIMIT_S = 0.4


class Condition(StrEnum):
    """How a program is."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Program:
    """One program and what it said."""

    name: str
    condition: Condition
    detail: str


def programs(config: Config, store: Callable[[], Store]) -> list[Program]:
    """Proxy, worker and store. Takes as long as the slowest answer, at most `LIMIT_S` for those over HTTP."""
    proxy = url(reachable(config.proxy.host), config.proxy.port)
    worker = url(reachable(config.worker.host), config.worker.port)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(_over_http, "Proxy", proxy), pool.submit(_over_http, "Worker", worker)]
        own = _store(store)  # here, because the client belongs to the session's thread
        return [*(each.result() for each in asked), own]


def _over_http(name: str, address: str) -> Program:
    try:
        # straight there: a proxy set for this machine is not meant for our own programs
        with build_opener(ProxyHandler({})).open(f"{address}/health", timeout=LIMIT_S) as response:
            said = json.load(response)
    except HTTPError as error:
        return Program(name, Condition.DEGRADED, f"{address} answers with status {error.code}")
    except (URLError, OSError, ValueError):
        return Program(name, Condition.DOWN, f"{address} does not answer")
    status = said.get("status", "ok") if isinstance(said, dict) else "ok"
    return Program(name, Condition.UP if status == "ok" else Condition.DEGRADED, f"{address}: {status}")


def _store(store: Callable[[], Store]) -> Program:
    try:
        status = store().ping()
    except StoreError as error:
        return Program("Store", Condition.DOWN, str(error))
    return Program("Store", Condition.UP, f"{status.database_bytes / 1024**2:,.0f} MiB on disk")
