"""What was read from and written to providers' caches."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from data.pieces import Sql, condition
from data.protocol import naive_utc
from data.reads import Reader

#: What a request's price depends on besides its counts.
PRICED_BY: tuple[str, ...] = ("provider", "protocol", "model", "service_tier", "speed", "inference_geo")
_COUNTS: tuple[str, ...] = (
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
)
_TOTAL = " + ".join(_COUNTS)


def served(
    store: Reader, start: datetime, end: datetime, where: Mapping[str, Sequence[str]] | None = None
) -> pl.DataFrame:
    """What was served with input tokens in [start, end): the columns PRICED_BY, and `day`, a date in UTC."""
    read = _read(start, end, where)
    text = f"SELECT DISTINCT {_priced_by()}, CAST(ended_at AS DATE) AS day {read.text} AND {_TOTAL} > 0"
    return store.sql(text, read.params)


def usage(
    store: Reader,
    start: datetime,
    end: datetime,
    where: Mapping[str, Sequence[str]] | None = None,
    thresholds: Sequence[int] = (),
) -> pl.DataFrame:
    """Counts of the requests that ended in [start, end), kept apart by what their price depends on.

    Columns: PRICED_BY, day, above (the highest of `thresholds` that a request's total input passes, -1 for none),
    requests, uncached_input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens.
    """
    read = _read(start, end, where)
    reached = " ".join(f"WHEN {_TOTAL} > ? THEN ?" for _ in thresholds)
    above = f"CASE {reached} ELSE -1 END" if thresholds else "-1"
    steps: list[object] = [step for step in sorted(thresholds, reverse=True) for _ in range(2)]
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT) AS {name}" for name in _COUNTS)
    text = (
        f"SELECT {_priced_by()}, CAST(ended_at AS DATE) AS day, CAST({above} AS BIGINT) AS above, "
        f"count(*) AS requests, {sums} {read.text} GROUP BY ALL"
    )
    return store.sql(text, [*steps, *read.params])


def _priced_by() -> str:
    return ", ".join(f'"{name}"' for name in PRICED_BY)


def _read(start: datetime, end: datetime, where: Mapping[str, Sequence[str]] | None) -> Sql:
    parts = [condition(name, wanted) for name, wanted in (where or {}).items()]
    conditions = ["ended_at >= ?", "ended_at < ?", *(part.text for part in parts)]
    params = [naive_utc(start), naive_utc(end), *(value for part in parts for value in part.params)]
    return Sql(f"FROM requests WHERE {' AND '.join(conditions)}", params)
