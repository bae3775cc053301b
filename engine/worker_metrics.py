"""How the worker is, for Prometheus: its evaluations, its outbox, open incidents, channels, and its regular jobs."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from data.errors import StoreError
from data.queries import alerts, notifications
from data.store import Store
from engine import channel_store
from engine.breaker import Phase
from engine.channel_store import Channel
from engine.desk import Desk
from engine.standing import Standing, standings


@dataclass(frozen=True, slots=True)
class Stock:
    """What only the store knows: notifications that wait, and open incidents by severity and status, channels."""

    waiting: dict[str, Any]
    incidents: Counter[tuple[str, str]]
    channels: tuple[tuple[Channel, Standing], ...]


def text(desk: Desk, now: datetime) -> bytes:
    """All of it in Prometheus' text format; what the store knows is left out while it is away. Blocks on the store."""
    registry = CollectorRegistry()
    registry.register(_Readings(desk, _stock(desk.connected, now), now))
    return generate_latest(registry)


def _stock(store: Store | None, now: datetime) -> Stock | None:
    if store is None:
        return None
    try:
        found = alerts.active(store).select("severity", "status").rows()
        known = standings(store, now)
        channels = tuple((channel, known[channel.name]) for channel in channel_store.every(store))
        return Stock(notifications.backlog(store, now), Counter(found), channels)
    except StoreError:
        return None


class _Readings(Collector):
    def __init__(self, desk: Desk, stock: Stock | None, now: datetime) -> None:
        self._desk, self._stock, self._now = desk, stock, now

    def collect(self) -> Iterator[Metric]:
        """Give each metric with its present values."""
        yield from self._evaluations()
        yield from self._jobs()
        yield _gauge("store_up", "Whether the store answers", self._stock is not None)
        if self._stock is not None:
            yield from _in_store(self._stock)

    def _evaluations(self) -> Iterator[Metric]:
        status = self._desk.status
        yield _gauge("leading", "Whether this worker evaluates", status.leading)
        yield _gauge("rules", "Rules that are evaluated", status.rules)
        yield _count("ticks", "Evaluations of a cadence's rules", status.ticks)
        yield _count("missed_ticks", "Evaluations that did not happen in time", status.missed_ticks)
        yield _count("failed_ticks", "Evaluations that failed", status.failed_ticks)
        yield _gauge("last_tick_seconds", "How long the last evaluation took", status.last_tick_ms / 1000)
        if status.last_tick_at is not None:
            age = (self._now - status.last_tick_at).total_seconds()
            yield _gauge("last_tick_age_seconds", "Seconds since the instant evaluated last", age)

    def _jobs(self) -> Iterator[Metric]:
        keeper = self._desk.housekeeper
        runs = CounterMetricFamily("claude_proxy_job_runs", "Runs of regular jobs", labels=["job"])
        failures = CounterMetricFamily("claude_proxy_job_failures", "Runs of regular jobs that failed", labels=["job"])
        took = GaugeMetricFamily("claude_proxy_job_last_seconds", "How long the last run took", labels=["job"])
        running = GaugeMetricFamily("claude_proxy_job_running_seconds", "How long it has run by now", labels=["job"])
        for name in keeper.jobs if keeper is not None else ():
            last = keeper.last(name) if keeper is not None else None
            if last is not None:
                runs.add_metric([name], last.runs)
                failures.add_metric([name], last.failures)
                took.add_metric([name], last.duration_ms / 1000)
            since = keeper.running_since(name) if keeper is not None else None
            running.add_metric([name], (self._now - since).total_seconds() if since else 0.0)
        yield from (runs, failures, took, running)


def _in_store(stock: Stock) -> Iterator[Metric]:
    yield _gauge("notifications_pending", "Notifications that wait to be sent", stock.waiting["pending"])
    yield _gauge("notifications_overdue_seconds", "How late the oldest of them is", stock.waiting["overdue_s"])
    incidents = GaugeMetricFamily("claude_proxy_open_incidents", "Open incidents", labels=["severity", "status"])
    for (severity, status), count in sorted(stock.incidents.items()):
        incidents.add_metric([severity, status], count)
    yield incidents
    yield from _channels(stock.channels)


def _channels(channels: Iterable[tuple[Channel, Standing]]) -> Iterator[Metric]:
    enabled = GaugeMetricFamily("claude_proxy_channel_enabled", "Whether a channel is switched on", labels=["channel"])
    text = "The phase of a channel's breaker: 1 in the one it is in"
    phases = GaugeMetricFamily("claude_proxy_channel_breaker", text, labels=["channel", "state"])
    failures = GaugeMetricFamily("claude_proxy_channel_failures", "A channel's failures in a row", labels=["channel"])
    for channel, standing in channels:
        enabled.add_metric([channel.name], float(channel.enabled))
        failures.add_metric([channel.name], standing.failures)
        for phase in Phase:
            phases.add_metric([channel.name, phase.value], float(phase is standing.state))
    yield from (enabled, phases, failures)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"claude_proxy_worker_{name}", text, value=float(value))


def _count(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"claude_proxy_worker_{name}", text, value=float(value))
