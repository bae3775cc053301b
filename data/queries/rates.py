"""How many notices channels still take: token buckets, one a channel and one, named '', over all."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl
from sqlalchemy import select

from data import bulk
from data.schema import rate_buckets
from data.store import Statement, Store

_MINUTES = 'greatest(date_diff(\'microsecond\', rate_buckets."at", excluded."at"), 0) / 6e7'
#: The limit over all is set, not brought along by who takes.
_KEPT = "CASE WHEN rate_buckets.channel = '' THEN rate_buckets.{0} ELSE excluded.{0} END"
#: Relative to what is stored: two who take at the same time both count, and neither fails.
_TAKE = (
    "ON CONFLICT (channel) DO UPDATE SET "
    f"level = least(excluded.burst, rate_buckets.level + {_MINUTES} * excluded.per_minute) - excluded.spent, "
    '"at" = greatest(rate_buckets."at", excluded."at"), '
    f"per_minute = {_KEPT.format('per_minute')}, burst = {_KEPT.format('burst')}, spent = excluded.spent"
)

_LIMIT = (
    "ON CONFLICT (channel) DO UPDATE SET level = least(excluded.level, rate_buckets.level), "
    "per_minute = excluded.per_minute, burst = excluded.burst"
)


def levels(store: Store) -> pl.DataFrame:
    """Every bucket that something was taken from, or whose limit was set: channel, level, at, per_minute, burst."""
    b = rate_buckets.c
    return store.frame(select(b.channel, b.level, b.at, b.per_minute, b.burst))


def limiting(channel: str, *, per_minute: float, burst: int, at: datetime) -> Statement:
    """Set a bucket's limit; one that has more than that in it keeps so much, a new one is full."""
    row = {"channel": channel, "level": float(burst), "at": at, "per_minute": per_minute, "burst": burst, "spent": 0}
    return bulk.inserting(rate_buckets, [row], conflict=_LIMIT)


def spending(rows: Sequence[Mapping[str, Any]]) -> list[Statement]:
    """Take from the buckets what rows of `rate_buckets` say; several of one channel are added up."""
    if not rows:
        return []
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        counts[row["channel"]] += row["spent"]
    last = {row["channel"]: row for row in rows}
    summed = [{**row, "spent": counts[name], "level": row["burst"] - counts[name]} for name, row in last.items()]
    return [bulk.inserting(rate_buckets, summed, conflict=_TAKE)]
