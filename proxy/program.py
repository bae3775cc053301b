"""What a running proxy is made of, and how it starts and stops."""

import asyncio
import dataclasses
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol as Shape

from aiohttp import web

from data.config import Config
from data.encoded_records import encoded_table
from data.http_server import PlainRunner
from data.model import LedgerRecord, RequestStart, Tokens
from data.pricing import PriceBook
from data.tasks import Tasks
from proxy.admission.gate import Gate
from proxy.admission.key_watch import KeyWatch
from proxy.admission.keys import KeyRing
from proxy.admission.shared_limits import SharedLimits
from proxy.api_route import Handler
from proxy.assembly import ConfigurationStore, Works, assembled
from proxy.budget.budgets import Budgets
from proxy.budget.keeper import Keeper
from proxy.budget.upkeep import Upkeep, now_us
from proxy.crosstalk.opening import open_crosstalk
from proxy.forward import Forwarder
from proxy.guard import Access
from proxy.lazy_store import LazyStore
from proxy.limit_keeper import LimitKeeper
from proxy.live import Live
from proxy.provider_client import MAX_HEADER_BYTES, provider_client
from proxy.recovery import interrupted
from proxy.seen_results import SeenResults
from proxy.server import Parts, client_handler, make_app, straight
from proxy.shipper import RecordStore, Shipper
from proxy.spool import Spool, SpoolBusy
from proxy.standing import Standing, fixed_changes
from proxy.store_watch import Pinged, StoreWatch

_MAX_SPOOLS = 64
_FLUSH_S = 2.0
_STOP_S = 2.0
#: How long a connection that stays open may be idle before its client finds it closed.
_LEAVE_S = 3.0
_LOOK_S = 0.05
_log = logging.getLogger(__name__)


class LedgerStore(RecordStore, Pinged, ConfigurationStore, Shape):
    """The part of `data.store.Store` that the proxy uses."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy and where it listens."""

    url: str
    parts: Parts
    forwarder: Forwarder
    live: Live
    spool: Spool
    shipper: Shipper
    gate: Gate
    budgets: Budgets

    def reload(self, config: Config) -> list[str]:
        """Serve new calls by `config`; those in flight end by the old one. Return what needs a new start to change.

        Raises TelemetryUnavailable, and then nothing has changed.
        """
        old = self.forwarder.standing.config
        kept = fixed_changes(old, config)
        fixed = {name: getattr(old.proxy, name) for name in ("host", "port", "processes")}
        proxy = dataclasses.replace(config.proxy, **fixed)
        worker = dataclasses.replace(config.worker, host=old.worker.host, port=old.worker.port)
        config = dataclasses.replace(config, home=old.home, store=old.store, proxy=proxy, worker=worker)
        self.parts.follow(Standing.of(config))
        return kept


@asynccontextmanager
async def running(
    config: Config, connect: Callable[[], LedgerStore], *, shared: socket.socket | None = None
) -> AsyncIterator[Proxy]:
    """Run the proxy while the context lasts; leaving it drains, and ships what it can.

    `connect` gives the store or raises StoreError. `shared` is a listening socket that other proxies accept from too.
    Raises OSError where the port is taken, SpoolBusy where no spool is free.
    """
    async with AsyncExitStack() as stack:
        standing = Standing.of(config)
        _warm(standing.prices)
        spool = open_spool(config, standing.prices)
        stack.callback(spool.close)
        shipper, watch = Shipper(spool, connect), StoreWatch(connect)
        stack.callback(watch.close)
        stack.callback(shipper.close)
        keeper = Keeper(config.home, spool.spool_id, connect)
        stack.callback(keeper.close)
        budgets = Budgets.open(keeper, spool, config.budgets)
        stack.callback(lambda: budgets.close(now_us()))
        limits = SharedLimits(config.home / "limits", spool.spool_id)
        stack.callback(limits.close)
        tasks = Tasks()
        stack.push_async_callback(tasks.stop)
        providers, session = await stack.enter_async_context(provider_client(config.proxy.connect_timeout_s))
        live = Live(time.time())
        seen = SeenResults.open(config.home / "batch_results.sqlite", time.time())
        stack.callback(seen.close)
        admin = LazyStore(connect)
        stack.callback(admin.close)
        gate, key_watch = await _keys(config, admin, limits)
        upkeep = Upkeep(budgets, keeper)
        limit_keeper = LimitKeeper(live.limits, spool.spool_id, admin.get)

        works = Works(
            standing=standing,
            spool=spool,
            client=providers,
            session=session,
            tasks=tasks,
            live=live,
            seen_results=seen,
            gate=gate,
            key_watch=key_watch,
            limits=limits,
            budgets=budgets,
            upkeep=upkeep,
            store=admin.get,
            store_trouble=lambda: shipper.last_error or watch.trouble,
        )
        parts = assembled(works)
        client = client_handler(parts)
        app = make_app(parts, client, lambda: _access(parts.forwarder.standing.config))
        runner = _runner(app, straight(client))
        stack.push_async_callback(shipper.flush, _FLUSH_S)
        stack.push_async_callback(limit_keeper.flush, _FLUSH_S)
        stack.push_async_callback(_stop, runner, parts)
        if shared is not None:
            stack.push_async_callback(_leave, runner, parts)
        url = await _listen(runner, config, shared)
        talks = open_crosstalk(parts.crosstalk, parts.followers, tasks, runner, url, shared=shared is not None)
        await stack.enter_async_context(talks)
        tasks.start(shipper.run(), name="shipper")
        tasks.start(watch.run(), name="store watch")
        tasks.start(key_watch.follow_copy(), name="keys of siblings")
        tasks.start(key_watch.follow_store(), name="keys")
        tasks.start(limits.run(), name="limits of siblings")
        tasks.start(upkeep.run(), name="budgets")
        tasks.start(limit_keeper.run(), name="providers' limits")
        tasks.start(parts.live_socket.run(), name="live")
        yield Proxy(url, parts, parts.forwarder, live, spool, shipper, gate, budgets)


async def _keys(config: Config, store: LazyStore[LedgerStore], limits: SharedLimits) -> tuple[Gate, KeyWatch]:
    """The virtual keys, as they are today where the store answers, so that the first calls are held to them."""
    ring = KeyRing(limits.begin)
    watch = KeyWatch(ring, config.home / "keys.json", store.get)
    watch.read_copy()
    await watch.refresh()
    await limits.join()
    return Gate(ring, config.keys), watch


def _warm(prices: PriceBook) -> None:
    """Do what is slow the first time before calls come: load the price list, and what Arrow loads to make arrays."""
    prices.price(provider="anthropic", model="claude", tokens=Tokens(), at=datetime.now(UTC))
    encoded_table(())


def open_spool(config: Config, prices: PriceBook) -> Spool:
    """Open the first spool under the home that no other proxy holds, ending what its last proxy left unfinished.

    Raises SpoolBusy, OSError.
    """
    now_us = time.time_ns() // 1000
    _make_private(config.spool)

    def estimate(start: RequestStart) -> LedgerRecord:
        return interrupted(start, now_us, prices.price)

    for number in range(1, _MAX_SPOOLS + 1):
        with suppress(SpoolBusy):
            return Spool.open(config.spool / f"proxy-{number}", now_us=now_us, estimate=estimate)
    raise SpoolBusy(f"{_MAX_SPOOLS} proxies are running on {config.home}")


def _make_private(folder: Path) -> None:
    """Make the folder its owner's alone, whatever the umask is; one from before too."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def _runner(app: web.Application, straight_to: Mapping[str, Handler]) -> PlainRunner:
    return PlainRunner(
        app,
        straight_to=straight_to,
        access_log=None,
        handle_signals=False,
        handler_cancellation=True,
        shutdown_timeout=_STOP_S,
        auto_decompress=False,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
    )


async def _listen(runner: web.AppRunner, config: Config, shared: socket.socket | None) -> str:
    await runner.setup()
    if shared is None:
        await web.TCPSite(runner, config.proxy.host, config.proxy.port, backlog=1024).start()
    else:
        await web.SockSite(runner, shared).start()
    port = runner.addresses[0][1]
    host = f"[{config.proxy.host}]" if ":" in config.proxy.host else config.proxy.host
    return f"http://{host}:{port}"


async def _leave(runner: PlainRunner, parts: Parts) -> None:
    """Accept no more, which the other proxies on the socket do, and end each connection with its next answer.

    Those without one are ended at last, however long streams of other connections go on: no call is to be refused here.
    """
    for site in runner.sites:
        await site.stop()
    parts.forwarder.leave()
    until = time.monotonic() + _LEAVE_S
    # aiohttp tells nobody when a connection ends
    while runner.server is not None and runner.server.connections and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_S)
    runner.end_idle()


async def _stop(runner: web.AppRunner, parts: Parts) -> None:
    """Refuse new calls, let those in flight end for as long as the configuration says, end the rest."""
    forwarder = parts.forwarder
    forwarder.stop_taking()
    with suppress(TimeoutError):
        await asyncio.wait_for(forwarder.idle(), forwarder.standing.config.proxy.drain_s)
    forwarder.interrupt()
    with suppress(TimeoutError):
        await asyncio.wait_for(forwarder.idle(), _STOP_S)
    await parts.live_socket.close()
    await runner.cleanup()


def _access(config: Config) -> Access:
    return Access(config.proxy.host, config.proxy.api_token, config.proxy.cors_origins)
