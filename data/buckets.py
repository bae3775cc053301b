"""Time buckets in SQL: the start of the local minute, hour, day … that a UTC time lies in.

Buckets of fixed length come back in UTC. Days, weeks and months come back as local midnights, which `in_utc` turns
into instants: the database needs no time zone rules of its own.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl

from data.periods import Grain, Offset, bucket_end, offsets, to_utc, zone
from data.protocol import naive_utc

UTC_TIME = pl.Datetime("us", "UTC")
_WIDTHS = {Grain.FIVE_MINUTES: "5 minutes", Grain.QUARTER: "15 minutes"}


def bucket_sql(ended: str, grain: Grain, tz: str, start: datetime, end: datetime) -> str:
    """The bucket of the UTC time `ended`, which lies in [start, end)."""
    known = offsets(tz, start, end)
    width = grain.fixed
    if width is not None and not any(offset.ahead % width for offset in known):
        return _cut(ended, grain)
    ahead = _ahead(ended, known)
    local = _cut(f"({ended} + {ahead})" if ahead else ended, grain)
    return f"({local} - {ahead})" if width is not None else local


def in_utc(frame: pl.DataFrame, grain: Grain, tz: str) -> pl.DataFrame:
    """The answer's buckets (column `time`) as aware UTC instants."""
    if grain.fixed is not None:
        return frame.with_columns(pl.col("time").dt.replace_time_zone("UTC"))
    local = zone(tz)
    naive = frame["time"].dt.replace_time_zone(None)
    each = naive.unique()
    starts = pl.Series([to_utc(at, local) for at in each.to_list()], dtype=UTC_TIME)
    # an empty frame would lose the time zone
    return frame.with_columns(naive.replace_strict(each, starts, return_dtype=UTC_TIME).cast(UTC_TIME).alias("time"))


def spans(frame: pl.DataFrame, grain: Grain, tz: str, start: datetime, end: datetime) -> tuple[pl.Series, pl.Series]:
    """From when to when each row's bucket (column `time`) lies in [start, end), aware UTC."""
    starts = frame["time"].unique()
    ends = pl.Series([bucket_end(at, grain, tz) for at in starts.to_list()], dtype=UTC_TIME)
    ended = frame["time"].replace_strict(starts, ends, return_dtype=UTC_TIME)
    return frame["time"].clip(lower_bound=start.astimezone(UTC)), ended.clip(upper_bound=end.astimezone(UTC))


def _cut(time: str, grain: Grain) -> str:
    if grain in _WIDTHS:
        return f"time_bucket(INTERVAL '{_WIDTHS[grain]}', {time})"
    return f"date_trunc('{grain}', {time})"


def _ahead(ended: str, known: Sequence[Offset]) -> str:
    """The offset as an SQL interval; '' where local time is UTC."""
    if not any(offset.ahead for offset in known):
        return ""
    branches = [
        f"WHEN {ended} < TIMESTAMP '{naive_utc(after.since).isoformat(' ')}' THEN {_interval(offset.ahead)}"
        for offset, after in pairwise(known)
    ]
    last = _interval(known[-1].ahead)
    return f"CASE {' '.join(branches)} ELSE {last} END" if branches else last


def _interval(ahead: timedelta) -> str:
    return f"to_seconds({int(ahead.total_seconds())})"
