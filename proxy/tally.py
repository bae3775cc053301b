"""Counters and histograms for Prometheus that cost a call next to nothing; they are written out when somebody asks."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

T = TypeVar("T")


class Count:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float) -> None:
        """Add to it."""
        self.value += amount


class Tally:
    """How many values lay in each bucket, and their sum; `bounds` are the buckets' upper ends, which belong to them."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return each upper end and how many values lay at or below it, as Prometheus wants them."""
        total, cumulative = 0, []
        for bound, count in zip((*self.bounds, inf), self.counts, strict=True):
            total += count
            cumulative.append((floatToGoString(bound), float(total)))  # type: ignore[no-untyped-call]
        return cumulative


@dataclass(frozen=True, slots=True)
class Series(Generic[T]):
    """One metric's time series by the values of its labels."""

    name: str
    text: str
    labels: tuple[str, ...]
    make: Callable[[], T]
    by_labels: dict[tuple[str, ...], T] = field(default_factory=dict)

    def at(self, *values: str) -> T:
        """Return the series with these values; a new one where there is none yet."""
        found = self.by_labels.get(values)
        if found is None:
            found = self.by_labels[values] = self.make()
        return found


class Tallies(Collector):
    """What a registry collects: all series of counts and of tallies."""

    def __init__(self, counts: tuple[Series[Count], ...], tallies: tuple[Series[Tally], ...]) -> None:
        self._counts, self._tallies = counts, tallies

    def collect(self) -> Iterator[Metric]:
        """Give each metric with its present values."""
        for series in self._counts:
            counter = CounterMetricFamily(series.name, series.text, labels=series.labels)
            for labels, count in series.by_labels.items():
                counter.add_metric(labels, count.value)
            yield counter
        for histograms in self._tallies:
            histogram = HistogramMetricFamily(histograms.name, histograms.text, labels=histograms.labels)
            for labels, tally in histograms.by_labels.items():
                histogram.add_metric(labels, tally.buckets(), tally.sum)
            yield histogram
