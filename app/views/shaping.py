"""Frames made ready to be drawn: the largest values first, the rest folded, the range before moved onto this one."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
from tsdownsample import MinMaxLTTBDownsampler

from data.metrics import Kind, Metric

MAX_POINTS = 2_000  # a trace; more cannot be told apart on a screen
OTHER = "Other"
#: What stands where a row has no value of the dimension.
NONE = "(none)"
Floats = npt.NDArray[np.float64]


def additive(metric: Metric) -> bool:
    """Whether the metric's values over different requests add up to the one over all of them."""
    return metric.kind in {Kind.SUM, Kind.RATE}


def shifted(previous: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """`previous` with its buckets moved onto those of `now`, first onto first; what has no counterpart is dropped."""
    ours, theirs = now["time"].unique().sort(), previous["time"].unique().sort()
    shared = min(ours.len(), theirs.len())
    clock = pl.DataFrame({"time": theirs.head(shared), "moved": ours.head(shared)})
    return previous.join(clock, on="time").drop("time").rename({"moved": "time"})


def folded(frame: pl.DataFrame, by: str, metrics: Sequence[Metric], keep: int = 8) -> tuple[pl.DataFrame, int]:
    """The `keep` largest values of `by` (by the first metric); the rest becomes `Other` where all metrics are sums.

    What has no value stays beside them and takes nobody's place.

    `frame`: [`time`], `by`, metrics. Returns it and how many values were left out of sight (0: they are in `Other`).
    """
    every = largest(frame, by, metrics[0].name)
    top, nobody = [value for value in every if value != NONE], [NONE] if NONE in every else []
    if len(top) <= keep:
        return frame, 0
    if not all(additive(metric) for metric in metrics):
        return frame.filter(pl.col(by).is_in([*top[:keep], *nobody])), len(top) - keep
    name = pl.when(pl.col(by).is_in([*top[: keep - 1], *nobody])).then(pl.col(by)).otherwise(pl.lit(OTHER)).alias(by)
    keys = [pl.col("time"), name] if "time" in frame.columns else [name]
    return frame.group_by(keys).agg(known_sum(m.name) for m in metrics).sort(frame.columns[0]), 0


def known_sum(name: str) -> pl.Expr:
    """The sum of a column; nothing where none of its values is known."""
    return pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name)


def largest(frame: pl.DataFrame, by: str, metric: str) -> list[str]:
    """The values of `by`, the largest sum of the metric first, `(none)` and `Other` last; `['']` without `by`."""
    if not by:
        return [""]
    sizes = frame.group_by(by).agg(pl.col(metric).cast(pl.Float64).sum().alias("size"))
    return sizes.sort(pl.col(by) == OTHER, pl.col(by) == NONE, -pl.col("size"), pl.col(by))[by].to_list()


def part(frame: pl.DataFrame, by: str, value: str) -> pl.DataFrame:
    """The rows of one value, in order of time; all of them without a breakdown."""
    return (frame.filter(pl.col(by) == value) if by else frame).sort("time")


def points(frame: pl.DataFrame, metric: str, tz: str, divisor: float = 1) -> tuple[Floats, Floats]:
    """Epoch milliseconds on the viewer's clock and values over `divisor`; thinned to `MAX_POINTS`, extremes kept."""
    clock = frame["time"].dt.convert_time_zone(tz).dt.replace_time_zone(None).dt.epoch("ms")
    x, y = clock.cast(pl.Float64).to_numpy(), numbers(frame[metric], divisor)
    if len(x) <= MAX_POINTS:
        return x, y
    kept = MinMaxLTTBDownsampler().downsample(x, np.nan_to_num(y), n_out=MAX_POINTS)  # type: ignore[no-untyped-call]
    return x[kept], y[kept]


def numbers(values: pl.Series, divisor: float = 1) -> Floats:
    """The values as floats over `divisor`, NaN where there is none."""
    return values.cast(pl.Float64).to_numpy() / divisor


def lonely(y: Floats) -> bool:
    """Whether a point stands alone between holes, where a line alone would not show it."""
    there = np.concatenate(([False], ~np.isnan(y), [False]))
    return bool((there[1:-1] & ~there[:-2] & ~there[2:]).any())
