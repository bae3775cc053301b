"""Merges rollup rows that share a time and dimensions once their hour (minute rollups) or day (hour rollups) closed.

Each merge is one transaction over one span, so a query sees the rows before or after it, with the same sums.
"""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Table

from data.database import Database
from data.protocol import naive_utc
from data.rollups import ROLLUPS, Rollup
from data.schema import ROLLUP_DIMENSIONS

#: Rows of the last requests of an hour still arrive shortly after it.
_GRACE = timedelta(minutes=2)
_SPANS = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
#: At most this many closed hours (days) in one transaction: writers wait while it runs.
_MOST_SPANS = 24


class Unmerged:
    """Which hours and days got rows since they were last merged. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._starts: dict[str, set[datetime]] = {rollup.closes: set() for rollup in ROLLUPS}

    def note(self, ended_at: pa.ChunkedArray) -> None:
        """Rows with these times were appended."""
        found = {
            closes: set(pc.unique(pc.floor_temporal(ended_at, unit=closes)).to_pylist()) for closes in self._starts
        }
        with self._lock:
            for closes, starts in found.items():
                self._starts[closes] |= starts

    def add(self, closes: str, starts: set[datetime]) -> None:
        """These hours (days) have rows to merge; naive UTC."""
        with self._lock:
            self._starts[closes] |= starts

    def take(self, closes: str, now: datetime) -> list[datetime]:
        """The hours (days) that are closed at `now` and have rows to merge, in order; they are forgotten here."""
        latest = naive_utc(now) - _GRACE - _SPANS[closes]
        with self._lock:
            due = {start for start in self._starts[closes] if start <= latest}
            self._starts[closes] -= due
        return sorted(due)


def find_unmerged(database: Database, unmerged: Unmerged) -> None:
    """Look through the rollups for rows left to merge, as after a restart."""
    for rollup in ROLLUPS:
        for table in (rollup.usage, rollup.latency):
            sql = (
                f"SELECT DISTINCT date_trunc('{rollup.closes}', time)::TIMESTAMP FROM "
                f"(SELECT time FROM {table.name} GROUP BY {', '.join(_keys(table))} HAVING count(*) > 1)"
            )
            with database.reading() as cursor:
                unmerged.add(rollup.closes, {start for (start,) in cursor.execute(sql).fetchall()})


def compact(database: Database, unmerged: Unmerged, now: datetime) -> int:
    """Merge what is closed at `now`; the number of rows saved."""
    saved = 0
    for rollup in ROLLUPS:
        left = unmerged.take(rollup.closes, now)
        try:
            for start, end in list(_runs(left, _SPANS[rollup.closes])):
                saved += _compact_span(database, rollup, start, end)
                left = [later for later in left if later >= end]
        finally:
            unmerged.add(rollup.closes, set(left))
    return saved


def _compact_span(database: Database, rollup: Rollup, start: datetime, end: datetime) -> int:
    saved = 0
    for table in (rollup.usage, rollup.latency):
        with database.writing() as cursor:
            saved += _merge(cursor, table, start, end)
    return saved


def _runs(starts: list[datetime], span: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """Neighbouring spans joined, up to `_MOST_SPANS` of them."""
    while starts:
        count = 1
        while count < min(len(starts), _MOST_SPANS) and starts[count] == starts[count - 1] + span:
            count += 1
        yield starts[0], starts[count - 1] + span
        starts = starts[count:]


def _merge(cursor: duckdb.DuckDBPyConnection, table: Table, start: datetime, end: datetime) -> int:
    keys = _keys(table)
    sums = [f'sum("{c.name}") AS "{c.name}"' for c in table.columns if f'"{c.name}"' not in keys]
    cursor.execute(
        f"CREATE OR REPLACE TEMP TABLE merged AS SELECT {', '.join(keys + sums)} "
        f"FROM {table.name} WHERE time >= ? AND time < ? GROUP BY {', '.join(keys)} ORDER BY time",
        [start, end],
    )
    deleted = _one(cursor.execute(f"DELETE FROM {table.name} WHERE time >= ? AND time < ?", [start, end]))
    inserted = _one(cursor.execute(f"INSERT INTO {table.name} BY NAME SELECT * FROM merged"))
    cursor.execute("DROP TABLE merged")
    return deleted - inserted


def _keys(table: Table) -> list[str]:
    names = ("time", *ROLLUP_DIMENSIONS, *(("bucket",) if "bucket" in table.columns else ()))
    return [f'"{name}"' for name in names]


def _one(result: duckdb.DuckDBPyConnection) -> int:
    row = result.fetchone()
    return int(row[0]) if row else 0
