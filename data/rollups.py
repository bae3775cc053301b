"""How the rollups come from `requests`: one GROUP BY a table, over the rows of a batch.

Time is `ended_at`, cut to the minute (hour). Latency is counted in the buckets of `data/latency.py`: one count for a
row's duration, one for its time to first token where it has one.
"""

from dataclasses import dataclass
from typing import Literal

import duckdb
from sqlalchemy import Table

from data.latency import bucket_sql
from data.measures import MEASURE_SQL
from data.schema import (
    ROLLUP_DIMENSIONS,
    ROLLUP_MEASURES,
    latency_hour,
    latency_minute,
    usage_hour,
    usage_minute,
)


@dataclass(frozen=True, slots=True)
class Rollup:
    """A usage table and the latency table beside it, of one grain. They close when `closes` has passed."""

    grain: Literal["minute", "hour"]
    closes: Literal["hour", "day"]
    usage: Table
    latency: Table


ROLLUPS: tuple[Rollup, ...] = (
    Rollup("minute", "hour", usage_minute, latency_minute),
    Rollup("hour", "day", usage_hour, latency_hour),
)


def append(cursor: duckdb.DuckDBPyConnection, rows: str) -> None:
    """Add the rows of the relation named `rows` (columns of `requests`) to every rollup."""
    for rollup in ROLLUPS:
        cursor.execute(usage_sql(rollup, rows))
        cursor.execute(latency_sql(rollup, rows))


def usage_sql(rollup: Rollup, rows: str) -> str:
    """The INSERT into a usage table."""
    return f"INSERT INTO {rollup.usage.name} BY NAME {_sums(rollup, rows)} ORDER BY time"


def correcting_sql(rollup: Rollup, relations: str, wrong: str, right: str) -> str:
    """The INSERT into a usage table that makes of the sums of the rows `wrong` those of the rows `right`.

    `relations` is the WITH clause that says what these two are. They last as long as each other: sums of
    milliseconds stay, whose last digits depend on the order that they are made in.
    """
    counts = [name for name in ROLLUP_MEASURES if not name.endswith("_ms")]
    less = ", ".join(f'-"{name}" AS "{name}"' for name in counts)
    zeros = [f'0 AS "{name}"' for name in ROLLUP_MEASURES if name not in counts]
    sums = ", ".join([*(f'sum("{name}") AS "{name}"' for name in counts), *zeros])
    changed = " OR ".join(f'sum("{name}") <> 0' for name in counts)
    return (
        f"INSERT INTO {rollup.usage.name} BY NAME {relations} SELECT time, {_dimensions()}, {sums} FROM ("
        f"({_sums(rollup, right)}) UNION ALL BY NAME "
        f"(SELECT time, {_dimensions()}, {less} FROM ({_sums(rollup, wrong)}))) GROUP BY ALL HAVING {changed}"
    )


def _sums(rollup: Rollup, rows: str) -> str:
    measures = ", ".join(f'{MEASURE_SQL.get(name, f"sum({name})")} AS "{name}"' for name in ROLLUP_MEASURES)
    return f"SELECT {_time(rollup)}, {_dimensions()}, {measures} FROM {rows} GROUP BY ALL"


def latency_sql(rollup: Rollup, rows: str) -> str:
    """The INSERT into a latency table."""
    kept = f"{_time(rollup)}, {_dimensions()}"
    return (
        f"INSERT INTO {rollup.latency.name} BY NAME "
        f"SELECT time, {_dimensions()}, bucket, sum(duration) AS durations, sum(ttft) AS ttfts FROM ("
        f"SELECT {kept}, {bucket_sql('duration_ms')} AS bucket, 1 AS duration, 0 AS ttft FROM {rows} UNION ALL "
        f"SELECT {kept}, {bucket_sql('ttft_ms')} AS bucket, 0 AS duration, 1 AS ttft FROM {rows} "
        "WHERE ttft_ms IS NOT NULL) GROUP BY ALL ORDER BY time"
    )


def _time(rollup: Rollup) -> str:
    return f"date_trunc('{rollup.grain}', ended_at) AS time"


def _dimensions() -> str:
    return ", ".join(f'"{name}"' for name in ROLLUP_DIMENSIONS)
