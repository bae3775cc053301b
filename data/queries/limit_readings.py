"""What was read of providers' limits (`data.queries.limits` writes it)."""

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from data.protocol import naive_utc
from data.reads import Reader

MOST_ROWS: Final = 5_000_000
#: No limit's window is longer than a week; a reading that claims more counts no longer.
LONGEST: Final = timedelta(days=8)
_READ = f"""SELECT provider, credential, "limit", "at", used_percent AS used,
    least(
        greatest(coalesce(reset_at, "at" + INTERVAL 1 HOUR), "at" + INTERVAL 1 MICROSECOND),
        "at" + INTERVAL {LONGEST.days} DAY
    ) AS until
FROM provider_limits WHERE "at" >= ? AND "at" < ?"""
#: The last reading before, which may still count, and all within.
_READINGS = f"""
SELECT provider, credential, "limit", max("at") AS "at", arg_max(used, "at") AS used, arg_max(until, "at") AS until
FROM ({_READ}) GROUP BY provider, credential, "limit"
UNION ALL
SELECT provider, credential, "limit", "at", max(used) AS used, max(until) AS until
FROM ({_READ}) GROUP BY provider, credential, "limit", "at"
ORDER BY provider, credential, "limit", "at"
"""


def readings(store: Reader, start: datetime, end: datetime) -> pl.DataFrame:
    """Those that count in [start, end), by limit and time.

    Columns: provider, credential, limit, at, used (percent), until (when it counts no longer, if none comes before).
    """
    first, last = naive_utc(start), naive_utc(end)
    return store.sql(_READINGS, [first - LONGEST, first, first, last], max_rows=MOST_ROWS)


def names(store: Reader, dimension: str, start: datetime, end: datetime) -> list[str]:
    """The values of provider, credential or limit among readings that may count in [start, end), in order; no ''."""
    if dimension not in {"provider", "credential", "limit"}:
        raise ValueError(f"readings have no {dimension}")
    made = '"at" >= ? AND "at" < ?'
    text = f"SELECT DISTINCT \"{dimension}\" AS name FROM provider_limits WHERE name <> '' AND {made} ORDER BY name"
    return store.sql(text, [naive_utc(start) - LONGEST, naive_utc(end)])["name"].to_list()
