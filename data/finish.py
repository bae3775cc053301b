"""From sums to metrics: the last step, in Polars, the same for one answer and for many instants.

Sums are exact (integers, decimals). A ratio is a Float64 and null over nothing. What follows from durations is
rounded (1e-6), because a sum of floats depends on the order it was made in.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from data.latency import bucket_of, middle_ms
from data.metrics import Kind, Metric
from data.schema import ROLLUP_MEASURES
from data.sliding import Flags, Floats, Ints

COST, UNPRICED = "cost_usd", "unpriced"
_FLOATS = frozenset({"duration_ms", "overhead_ms", "ttft_ms"})
_ROUNDED = 6
_FIRST, _LAST = bucket_of(0.0), bucket_of(float("inf"))
_MIDDLES = pl.Series([middle_ms(bucket) for bucket in range(_FIRST, _LAST + 1)], dtype=pl.Float64)


def measures_of(metrics: Iterable[Metric]) -> list[str]:
    """The measures they need, in the schema's order."""
    needed = {name for m in metrics for name in m.measures}
    if COST in needed:
        needed.add(UNPRICED)
    return [name for name in ROLLUP_MEASURES if name in needed]


def sum_metric(m: Metric, hours: pl.Expr) -> pl.Expr:
    """A sum, ratio or rate from columns of summed measures; `hours`: how long the time asked about is.

    What requests without a price cost is not known: a cost that is made of nothing else is null, never 0.
    """
    made = _made(m, hours)
    return pl.when((pl.col(COST) != 0) | (pl.col(UNPRICED) == 0)).then(made).alias(m.name) if COST in m.of else made


def _made(m: Metric, hours: pl.Expr) -> pl.Expr:
    if m.kind is Kind.SUM:
        return _total(m.of).alias(m.name)
    if m.kind is Kind.RATE:
        return (_total(m.of).cast(pl.Float64) / hours).alias(m.name)
    over = _total(m.per).cast(pl.Float64)
    value = _total(m.of).cast(pl.Float64) / over * m.scale
    if not _FLOATS.isdisjoint((*m.of, *m.per)):
        value = value.round(_ROUNDED)
    return pl.when(over != 0).then(value).alias(m.name)


def latency_ms(bucket: pl.Expr) -> pl.Expr:
    """The middle of a bucket, milliseconds; null stays null."""
    index = bucket.cast(pl.Int64) - _FIRST
    return index.replace_strict(pl.int_range(0, len(_MIDDLES), eager=True), _MIDDLES, return_dtype=pl.Float64)


def latencies_ms(buckets: Ints, known: Flags) -> Floats:
    """The middles of many buckets, milliseconds; NaN where there is none."""
    return np.where(known, _MIDDLES.to_numpy()[np.where(known, buckets - _FIRST, 0)], np.nan)


def quantiles(counts: pl.DataFrame, by: Sequence[str], wanted: Sequence[Metric]) -> pl.DataFrame:
    """Nearest-rank percentiles from counts (columns *by, bucket and what is counted): *by, one column a metric."""
    summed = counts.group_by([*by, "bucket"]).agg(pl.col({m.of[0] for m in wanted}).sum()).sort("bucket")
    found = [_bucket(m) for m in wanted]
    reached = summed.group_by(list(by), maintain_order=True).agg(found) if by else summed.select(found)
    return reached.with_columns(latency_ms(pl.col(m.name)).alias(m.name) for m in wanted)


def _bucket(m: Metric) -> pl.Expr:
    counts = pl.col(m.of[0])
    reached = (counts.cum_sum() * 100 >= counts.sum() * m.percent) & (counts > 0)
    return pl.col("bucket").filter(reached).first().alias(m.name)


def _total(names: Sequence[str]) -> pl.Expr:
    return pl.sum_horizontal(names) if len(names) > 1 else pl.col(names[0])
