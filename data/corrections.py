"""Rows of `requests` that are put right later, together with what the rollups say of them.

The rollups are sums: what a correction changes is added to them as rows of their own, the new sums less the old ones,
which compaction merges like any others. So rows and rollups agree before the transaction and after it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from data import bulk
from data.protocol import naive_utc
from data.rollups import ROLLUPS, correcting_sql
from data.schema import ROLLUP_DIMENSIONS, requests, unmerged
from data.store import Statement

#: What says which row is meant; it cannot be corrected.
KEYS = ("id", "ended_at")
#: How long a request took, and where the latency rollups count it: corrections leave these alone.
_FIXED = frozenset({"duration_ms", "overhead_ms", "ttft_ms", *ROLLUP_DIMENSIONS})


def correcting(rows: Sequence[Mapping[str, Any]]) -> list[Statement]:
    """Statements of one transaction that correct these rows; it fails as a whole where one is not as it was read.

    Each has the same columns: KEYS, the columns to change with their new values, and as `was_NAME` those that must
    still have the value they were read with. Money is Decimal, `ended_at` a datetime. Counts, costs and words can be
    corrected; times and the rollups' dimensions cannot.
    """
    names = [name for name in rows[0] if name not in KEYS and not name.startswith(bulk.COMPARED)]
    if wrong := _FIXED.intersection(names):
        raise ValueError(f"{sorted(wrong)} cannot be corrected: the latency rollups would not follow")
    packed = bulk.packed(rows)
    relations = _relations(list(rows[0]), names)
    differences = [Statement(correcting_sql(rollup, relations, "stored", "corrected"), (packed,)) for rollup in ROLLUPS]
    return [*differences, _unmerged(rows), bulk.updating(requests, rows, by=KEYS)]


def _relations(columns: Sequence[str], names: Sequence[str]) -> str:
    """WITH fixed (the corrections), stored and corrected (the rows as they are, and as they will be)."""
    new = ", ".join(f'f."{name}" AS "{name}"' for name in names)
    joined = "FROM requests r JOIN fixed f ON " + " AND ".join(f"r.{key} = f.{key}" for key in KEYS)
    fixed = bulk.unpacked(requests, columns)
    return (
        f"WITH fixed AS MATERIALIZED (SELECT * FROM {fixed}), stored AS (SELECT r.* {joined}), "
        f"corrected AS (SELECT r.* REPLACE ({new}) {joined})"
    )


def _unmerged(rows: Sequence[Mapping[str, Any]]) -> Statement:
    """Writes down which hours and days get rows, as `data/compaction.py` wants to know."""
    times = {naive_utc(row["ended_at"]) for row in rows}
    starts = sorted({(r.usage.name, _start(at, r.closes)) for r in ROLLUPS for at in times})
    return bulk.inserting(unmerged, [{"rollup": name, "start": start} for name, start in starts])


def _start(at: datetime, closes: str) -> datetime:
    hour = at.replace(minute=0, second=0, microsecond=0)
    return hour if closes == "hour" else hour.replace(hour=0)
