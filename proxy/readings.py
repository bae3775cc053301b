"""What is read only when somebody scrapes: gauges of the proxy's state, bounded in number."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.provider_health import Circuits
from proxy.provider_limits import Gauge

#: Callers name models, and people budgets: of more series than this nobody is told.
MAX_SERIES: Final = 500
_STATES: Final = {"closed": 0.0, "half_open": 1.0, "open": 2.0}


class BudgetUse(NamedTuple):
    """How much of a budget is used in its present period, US dollars, what is reserved included."""

    name: str
    used_usd: float
    limit_usd: float


def _no_circuits() -> Circuits:
    return {}


def _none() -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class Readings:
    """Functions that return the present values."""

    in_flight: Callable[[], float]
    spool_bytes: Callable[[], float]
    spool_records: Callable[[], float]
    store_up: Callable[[], float]
    listeners: Callable[[], float] = _none
    dropped_listeners: Callable[[], float] = _none
    circuits: Callable[[], Circuits] = _no_circuits
    limits: Callable[[], Iterable[Gauge]] = tuple
    budgets: Callable[[], Iterable[BudgetUse]] = tuple


class ReadingsCollector(Collector):
    """What a registry collects of the readings."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        """Give each metric with its present values."""
        read = self._readings
        yield _gauge("claude_proxy_in_flight", "Calls in flight", read.in_flight())
        yield _gauge("claude_proxy_spool_bytes", "Bytes the store does not have yet", read.spool_bytes())
        yield _gauge("claude_proxy_spool_records", "Records the store does not have yet", read.spool_records())
        yield _gauge("claude_proxy_store_up", "1 while the store answers", float(read.store_up()))
        yield _gauge("claude_proxy_live_listeners", "Listeners of /ws/live", read.listeners())
        dropped = CounterMetricFamily("claude_proxy_live_listeners_dropped", "Listeners dropped as they did not read")
        dropped.add_metric((), read.dropped_listeners())
        yield dropped
        yield from _circuits(read.circuits())
        yield from _limits(read.limits())
        yield from _budgets(read.budgets())


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _circuits(circuits: Circuits) -> Iterator[Metric]:
    """Circuits that are simply well are not told of: a series that ends was closed again."""
    state = GaugeMetricFamily(
        "claude_proxy_breaker_state",
        "A circuit that is not simply well: 0 closed, 1 half open, 2 open",
        labels=("provider", "model", "credential"),
    )
    many = GaugeMetricFamily("claude_proxy_breaker_circuits", "Circuits by state", labels=("provider", "state"))
    for place, told in islice(circuits.items(), MAX_SERIES):
        state.add_metric(place, _STATES.get(str(told.get("state")), 0.0))
    counted = Counter((place[0], str(told.get("state"))) for place, told in circuits.items())
    for labels, number in counted.items():
        many.add_metric(labels, number)
    yield from (state, many)


def _limits(gauges: Iterable[Gauge]) -> Iterator[Metric]:
    labels = ("provider", "credential", "limit")
    remaining = GaugeMetricFamily(
        "claude_proxy_provider_limit_remaining", "What a provider last said remains of its limit", labels=labels
    )
    most = GaugeMetricFamily("claude_proxy_provider_limit", "A provider's limit", labels=labels)
    for gauge in islice(gauges, MAX_SERIES):
        values = (gauge.provider, gauge.credential, gauge.name)
        remaining.add_metric(values, gauge.remaining)
        if gauge.limit is not None:
            most.add_metric(values, gauge.limit)
    yield from (remaining, most)


def _budgets(budgets: Iterable[BudgetUse]) -> Iterator[Metric]:
    used = GaugeMetricFamily("claude_proxy_budget_used_usd", "Used of a budget, US dollars", labels=("budget",))
    most = GaugeMetricFamily("claude_proxy_budget_limit_usd", "A budget's limit, US dollars", labels=("budget",))
    for budget in islice(budgets, MAX_SERIES):
        used.add_metric((budget.name,), budget.used_usd)
        most.add_metric((budget.name,), budget.limit_usd)
    yield from (used, most)
