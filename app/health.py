"""Which program is up and how far the ledger is behind: asked over HTTP with a short limit, all at the same time."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from app.stack import reachable, url
from data.config import Config
from data.errors import StoreError
from data.store import Store

LIMIT_S = 0.5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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


@dataclass(frozen=True, slots=True)
class Backlog:
    """Records that wait in the proxy's spool for the store, and since when the first of them has ended."""

    records: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Report:
    """The programs, and the backlog; None: the proxy does not say."""

    programs: tuple[Program, ...]
    backlog: Backlog | None


def report(config: Config, store: Callable[[], Store]) -> Report:
    """Ask proxy, worker and store. Takes as long as the slowest answer, at most `LIMIT_S` for those over HTTP."""
    proxy = url(reachable(config.proxy.host), config.proxy.port)
    worker = url(reachable(config.worker.host), config.worker.port)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(_program, "Proxy", proxy), pool.submit(_program, "Worker", worker)]
        waiting = pool.submit(_backlog, proxy)
        own = _store(store)  # here, because the client belongs to the session's thread
        return Report((*(each.result() for each in asked), own), waiting.result())


def _program(name: str, address: str) -> Program:
    said = _said(f"{address}/health")
    if said is None:
        return Program(name, Condition.DOWN, f"{address} does not answer")
    if said.get("status") == "ok":
        return Program(name, Condition.UP, address)
    troubles = [_trouble(part, check) for part, check in (said.get("checks") or {}).items() if not _well(check)]
    return Program(name, Condition.DEGRADED, " ".join(troubles) or f"{address}: {said.get('status')}.")


def _well(check: Mapping[str, Any]) -> bool:
    return check.get("ok") is True or check.get("status") == "ok"


def _trouble(part: str, check: Mapping[str, Any]) -> str:
    words = next(
        (check[key] for key in ("detail", "message", "last_error", "store_error") if check.get(key)), "not well"
    )
    return f"{part}: {str(words).rstrip('.')}."


def _backlog(address: str) -> Backlog | None:
    said = _said(f"{address}/api/system/spool")
    if said is None or not isinstance(said.get("records"), int):
        return None
    oldest = said.get("oldest_us")
    return Backlog(said["records"], _EPOCH + timedelta(microseconds=oldest) if oldest else None)


def _store(store: Callable[[], Store]) -> Program:
    try:
        status = store().ping()
    except StoreError as error:
        return Program("Store", Condition.DOWN, str(error))
    return Program("Store", Condition.UP, f"{(status.database_bytes + status.wal_bytes) / 1024**2:,.0f} MiB on disk")


def _said(address: str) -> dict[str, Any] | None:
    """The JSON object at the address, whatever the status; None where there is none."""
    try:
        # straight there: a web proxy set for this machine is not meant for our own programs
        with build_opener(ProxyHandler({})).open(address, timeout=LIMIT_S) as response:
            said = json.load(response)
    except HTTPError as error:
        with error:
            return {"status": f"status {error.code}"} | _body(error.read())
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


def _body(text: bytes) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
