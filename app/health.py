"""Which program is up and how far the ledger is behind: asked over HTTP with a short limit, all at the same time.

A program that answers on a port may be another home's. The worker's is known by the lease on evaluating, which names
the same holder in its health and in this home's store; the proxy's by the lock that it keeps on a spool in the home.
"""

import fcntl
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from app.stack import reachable, url
from data.config import Config
from data.errors import StoreError
from data.queries import leases
from data.store import Store
from engine.evaluator import LEASE

LIMIT_S = 0.5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Condition(StrEnum):
    """How a program is."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    STRANGE = "strange"  # it answers, but it is not this home's


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
        asked = [pool.submit(_said, f"{address}/health") for address in (proxy, worker)]
        waiting = pool.submit(_backlog, proxy, config.proxy.api_token)
        own, leader = _store(store)  # here, because the client belongs to the session's thread
        heard = [each.result() for each in asked]
        backlog = waiting.result()
    ours = heard[0] is None or spool_held(config.spool)
    first = _program("Proxy", proxy, heard[0], ours=ours)
    second = _program("Worker", worker, heard[1], ours=leader is None or _leader(heard[1]) in (None, leader))
    return Report((first, second, own), backlog if ours else None)


def spool_held(spool: Path) -> bool:
    """Whether a proxy has one of the spools in this folder open; only then does a proxy of this home run."""
    return any(_locked(lock) for lock in sorted(spool.glob("*/lock")))


def _locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _leader(said: Mapping[str, Any] | None) -> str | None:
    """Who evaluates, by a worker's health; '' for nobody, None where it does not say."""
    evaluator = ((said or {}).get("checks") or {}).get("evaluator")
    leader = evaluator.get("leader") if isinstance(evaluator, Mapping) else None
    return leader if isinstance(leader, str) else None


def _program(name: str, address: str, said: Mapping[str, Any] | None, *, ours: bool) -> Program:
    if said is None:
        return Program(name, Condition.DOWN, f"{address} does not answer")
    if not ours:
        return Program(name, Condition.STRANGE, f"{address} answers, but for another home")
    if said.get("status") == "ok":
        return Program(name, Condition.UP, address)
    troubles = [_trouble(part, check) for part, check in (said.get("checks") or {}).items() if not _well(check)]
    return Program(name, Condition.DEGRADED, " ".join(troubles) or f"{address}: {said.get('status')}.")


def _well(check: Mapping[str, Any]) -> bool:
    return check.get("ok") is True or check.get("status") == "ok"


def _trouble(part: str, check: Mapping[str, Any]) -> str:
    words = next(
        (check[key] for key in ("detail", "message", "last_error", "store_error", "waiting") if check.get(key)),
        "not well",
    )
    return f"{part}: {str(words).rstrip('.')}."


def _backlog(address: str, api_token: str) -> Backlog | None:
    said = _said(f"{address}/api/system/spool", api_token)
    if said is None or not isinstance(said.get("records"), int):
        return None
    oldest = said.get("oldest_us")
    return Backlog(said["records"], _EPOCH + timedelta(microseconds=oldest) if oldest else None)


def _store(store: Callable[[], Store]) -> tuple[Program, str | None]:
    """The store, and who holds this home's lease on evaluating: '' for nobody, None where the store does not say."""
    try:
        client = store()
        status, lease = client.ping(), leases.holder(client, LEASE)
    except StoreError as error:
        return Program("Store", Condition.DOWN, str(error)), None
    size = f"{(status.database_bytes + status.wal_bytes) / 1024**2:,.0f} MiB on disk"
    leader = lease[0] if lease and lease[1] > datetime.now(UTC) else ""
    return Program("Store", Condition.UP, size), leader


def _said(address: str, api_token: str = "") -> dict[str, Any] | None:
    """The JSON object at the address, whatever the status; None where there is none."""
    request = Request(address)  # noqa: S310 - one of our own programs
    if api_token:
        # as UTF-8, which is not what http.client makes of text; and to nobody whom the answer names
        request.add_unredirected_header("Authorization", f"Bearer {api_token}".encode().decode("latin-1"))
    try:
        # straight there: a web proxy set for this machine is not meant for our own programs
        with build_opener(ProxyHandler({})).open(request, timeout=LIMIT_S) as response:
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
