"""How many notices channels still take: token buckets, one a channel and one, named '', over all."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from sqlalchemy import select

from data import bulk
from data.schema import rate_buckets
from data.store import Statement, Store

_MINUTES = 'greatest(date_diff(\'microsecond\', rate_buckets."at", excluded."at"), 0) / 6e7'
#: Relative to what is stored: two who take at the same time both count, and neither fails.
_TAKE = (
    "ON CONFLICT (channel) DO UPDATE SET "
    f"level = least(excluded.burst, rate_buckets.level + {_MINUTES} * excluded.per_minute) - excluded.spent, "
    '"at" = greatest(rate_buckets."at", excluded."at"), '
    "per_minute = excluded.per_minute, burst = excluded.burst, spent = excluded.spent"
)


def levels(store: Store) -> pl.DataFrame:
    """Every bucket that something was taken from: channel, level, at."""
    return store.frame(select(rate_buckets.c.channel, rate_buckets.c.level, rate_buckets.c.at))


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
