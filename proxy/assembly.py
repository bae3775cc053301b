"""What answers requests, put together from what a running proxy has."""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol as Shape

import aiohttp

from data.budget_changes import BudgetStore
from data.config import Config
from data.errors import CountersError
from data.model import LedgerRecord, RequestStart
from data.queries.crosstalk import CrosstalkStore
from data.queries.keys import KeyStore
from data.tasks import Tasks
from proxy import genai
from proxy.access_log import AccessLog
from proxy.admission.gate import Gate
from proxy.admission.key_watch import KeyWatch
from proxy.admission.shared_limits import SharedLimits
from proxy.attempts import Means
from proxy.batch_files import BatchFiles
from proxy.batches import Batches
from proxy.books import Books
from proxy.breaker import Breaker
from proxy.budget.batch_holds import BatchHolds
from proxy.budget.budgets import Budgets
from proxy.budget.status import uses
from proxy.budget.upkeep import Upkeep, now_us
from proxy.budgets_api import BudgetsApi
from proxy.budgets_api import routes as budget_routes
from proxy.crosstalk.api import CrosstalkApi
from proxy.crosstalk.crosstalk import Crosstalk
from proxy.crosstalk.crosstalk import Means as CrosstalkMeans
from proxy.crosstalk.owner import owner_of
from proxy.crosstalk.routes import routes as crosstalk_routes
from proxy.crosstalk.socket import CrosstalkSocket
from proxy.crosstalk.tabs import Tabs
from proxy.forward import Forwarder
from proxy.health import Condition
from proxy.journey import Rotation
from proxy.keys_api import KeysApi
from proxy.keys_api import routes as keys_routes
from proxy.live import Live
from proxy.live_socket import LiveSocket
from proxy.metrics import Metrics
from proxy.monitor import Monitor, Sources, program_version
from proxy.provider_client import ProviderClient
from proxy.provider_health import Circuits
from proxy.readings import BudgetUse, Readings
from proxy.seen_results import SeenResults
from proxy.server import Parts
from proxy.spool import Spool
from proxy.standing import Standing
from proxy.telemetry import Telemetry
from proxy.worker_api import WorkerApi
from proxy.worker_socket import WorkerSocket


class ConfigurationStore(CrosstalkStore, KeyStore, BudgetStore, Shape):
    """The part of `data.store.Store` that keeps keys, budgets and conversations of models."""


@dataclass(frozen=True, slots=True)
class Works:
    """What the parts are made from. `store_trouble` is read when somebody asks; '' while the store answers."""

    standing: Standing
    spool: Spool
    client: ProviderClient
    session: aiohttp.ClientSession
    tasks: Tasks
    live: Live
    seen_results: SeenResults
    gate: Gate
    key_watch: KeyWatch
    limits: SharedLimits
    budgets: Budgets
    upkeep: Upkeep
    store: Callable[[], ConfigurationStore]
    store_trouble: Callable[[], str]


def assembled(works: Works) -> Parts:
    """Return what answers requests. Raises TelemetryUnavailable."""
    config, spool, live, tabs = works.standing.config, works.spool, works.live, Tabs()
    breaker, listening = Breaker(config.breaker), LiveSocket(live)
    live.watch_circuits(lambda: _circuits(breaker))
    metrics = Metrics(
        _readings(works, listening),
        lambda name: genai.provider_name(name, _base_url(forwarder.standing.config, name)),
        process=spool.spool_id[:8] if config.proxy.processes > 1 else "",
    )
    access_log = AccessLog(sys.stderr)
    works.tasks.start(access_log.run(), name="access log")

    def refused(endpoint: str, status: int, code: str, *, request_id: str, key: str) -> None:
        metrics.refused(code)
        if forwarder.standing.config.proxy.access_log:
            access_log.refused(endpoint, status, code, request_id=request_id, key=key)

    def closed(record: LedgerRecord) -> None:
        live.ended(record, time.time())
        metrics.count(record)
        tabs.closed(record)
        if forwarder.standing.config.proxy.access_log:
            access_log.ended(record)

    def answered(start: RequestStart, headers: Mapping[str, str]) -> None:
        live.limits.seen(start.provider, start.credential or start.key, headers, time.time())

    batches = BatchHolds(works.budgets)

    def write_result(record: LedgerRecord) -> None:
        batches.settle(record, spool.end(record))
        closed(record)

    books = Books(spool, closed, answered)
    means = Means(
        client=works.client,
        books=books,
        batches=Batches(works.seen_results, lambda: forwarder.standing.prices.price, write_result, batches.made_by),
        batch_files=BatchFiles(works.seen_results),
        gate=works.gate,
        budgets=works.budgets,
        tasks=works.tasks,
        begun=live.begun,
        breaker=breaker,
        rotation=Rotation(),
        closing=asyncio.Event(),
    )
    forwarder = Forwarder(means, works.standing)
    whose = {
        "service.name": "claude-proxy",
        "service.version": program_version(),
        "service.instance.id": spool.spool_id,
    }
    telemetry = Telemetry(works.tasks, metrics.genai, whose)
    telemetry.follow(config.otlp)
    sources = Sources(lambda: _condition(works, forwarder), spool.backlog, telemetry.status)
    monitor = Monitor(config, live, metrics, sources)
    worker = WorkerApi(works.session, config.worker)
    crosstalk = _crosstalk(works, tabs, forwarder)
    talks = CrosstalkApi(crosstalk, works.gate, works.store, lambda: forwarder.standing.config.proxy.api_token)
    followers = CrosstalkSocket(talks.follow)
    api = (
        *keys_routes(KeysApi(works.key_watch, works.store, lambda: forwarder.standing.providers)),
        *budget_routes(BudgetsApi(works.budgets, works.upkeep, works.store)),
        *crosstalk_routes(talks, followers),
    )
    sockets = WorkerSocket(works.session, worker)

    def follow(standing: Standing) -> None:
        config = standing.config
        telemetry.follow(config.otlp)
        forwarder.standing, monitor.config, breaker.config = standing, config, config.breaker
        works.gate.config, works.budgets.settings = config.keys, config.budgets

    return Parts(forwarder, monitor, listening, worker, sockets, refused, crosstalk, followers, follow, api)


def _crosstalk(works: Works, tabs: Tabs, forwarder: Forwarder) -> Crosstalk:
    return Crosstalk(
        CrosstalkMeans(
            http=works.session,
            tasks=works.tasks,
            tabs=tabs,
            store=works.store,
            most=lambda: forwarder.standing.config.proxy.crosstalk_sessions,
            spools=works.standing.config.spool,
            owner=owner_of(works.spool.folder),
        )
    )


def _readings(works: Works, listening: LiveSocket) -> Readings:
    spool, live = works.spool, works.live
    return Readings(
        in_flight=lambda: live.in_flight,
        spool_bytes=lambda: spool.backlog().bytes,
        spool_records=lambda: spool.backlog().records,
        store_up=lambda: not works.store_trouble(),
        listeners=lambda: listening.listeners,
        dropped_listeners=lambda: listening.dropped,
        circuits=live.circuits,
        limits=live.limits.gauges,
        budgets=lambda: _budgets_used(works.budgets),
    )


def _budgets_used(budgets: Budgets) -> list[BudgetUse]:
    try:
        return [BudgetUse(*used) for used in uses(budgets, now_us())]
    except CountersError:
        return []  # health says why


def _base_url(config: Config, provider: str) -> str:
    found = config.providers.get(provider)
    return "" if found is None else found.base_url


def _circuits(breaker: Breaker) -> Circuits:
    snapshot = breaker.snapshot(asyncio.get_running_loop().time())
    return {(place.provider, place.model, place.credential): state for place, state in snapshot.items()}


def _condition(works: Works, forwarder: Forwarder) -> Condition:
    backlog, config = works.spool.backlog(), forwarder.standing.config
    return Condition(
        store_trouble=works.store_trouble(),
        spool_bytes=backlog.bytes,
        spool_records=backlog.records,
        spool_warn_bytes=config.proxy.spool_warn_bytes,
        spool_trouble=forwarder.ledger_trouble,
        budget_trouble=works.budgets.trouble,
        limits_trouble=works.limits.trouble,
        keys_missing=works.gate.config.required and not works.gate.ring.known,
        providers=len(config.providers),
        stopping=forwarder.stopping,
    )
