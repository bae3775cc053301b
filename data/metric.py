"""What a metric is: one number about a set of requests, and how it follows from the ledger's sums."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Kind(StrEnum):
    """How a metric's value comes about."""

    SUM = "sum"  # sum of the measures `of`
    RATIO = "ratio"  # sum of `of` over sum of `per`, times `scale`
    RATE = "rate"  # sum of `of` an hour of the time asked about
    QUANTILE = "quantile"  # `percent`-th percentile of the latency named by `of`, from bucket counts
    DISTINCT = "distinct"  # how many different values the dimension `of` has, unknown ('') left out
    AGE = "age"  # seconds from the last request to the end of the time asked about
    BUDGET = "budget"  # what budgets make of the spending they count (`data.budget_metrics`)
    LIMIT = "limit"  # what providers said of their own limits (`data.limit_metrics`)


@dataclass(frozen=True, slots=True)
class Metric:
    """One number about a set of requests. `of` and `per` name measures of `data.schema.ROLLUP_MEASURES`.

    One about something else has dimensions of its own, and is split and filtered by nothing but these.
    """

    name: str
    label: str
    unit: str
    definition: str
    better: Literal["lower", "higher"] | None
    kind: Kind
    of: tuple[str, ...]
    per: tuple[str, ...] = ()
    scale: float = 1.0
    percent: int = 0
    dimensions: tuple[str, ...] = ()

    @property
    def empty(self) -> int | None:
        """What it is over no requests: 0 for what is counted or summed, else nothing."""
        return 0 if self.kind in {Kind.SUM, Kind.RATE, Kind.DISTINCT} else None

    @property
    def over_time(self) -> bool:
        """Whether it can be asked for in buckets; what is about budgets has their time."""
        return self.kind is not Kind.BUDGET

    @property
    def measures(self) -> tuple[str, ...]:
        """The summed measures it needs; none for quantiles, distinct counts and ages."""
        return (*self.of, *self.per) if self.kind in {Kind.SUM, Kind.RATIO, Kind.RATE} else ()
