"""Merges rollup rows that share a time and dimensions once their hour (minute rollups) or day (hour rollups) closed.

What may have such rows is written down in the table `unmerged`, in the transaction that appends them: after a restart
too, nothing else is looked at. Each merge is one transaction over some spans of one table, so a query sees the rows
before or after it, with the same sums.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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

#: What closes ("hour", "day") and its start, UTC microseconds: a time may lie beyond what a datetime holds.
Span = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Recorded:
    """Hours and days that a transaction wrote down; they are known once it is committed."""

    spans: frozenset[Span]
    merges: int


class Unmerged:
    """Writes down which hours and days get rows, each once until it is merged. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: set[Span] = set()
        self._merges = 0

    def record(self, cursor: duckdb.DuckDBPyConnection, ended_at: pa.ChunkedArray) -> Recorded:
        """Write down where rows with these times are appended, in `cursor`'s transaction; `remember` it afterwards."""
        found = {
            (rollup.closes, start)
            for rollup in ROLLUPS
            for start in pc.unique(pc.floor_temporal(ended_at, unit=rollup.closes).cast(pa.int64())).to_pylist()
        }
        with self._lock:
            recorded = Recorded(frozenset(found - self._known), self._merges)
        for rollup in ROLLUPS:
            starts = [start for closes, start in recorded.spans if closes == rollup.closes]
            for table in _tables(rollup) if starts else ():
                cursor.execute(
                    "INSERT INTO unmerged SELECT ?, make_timestamp(unnest(?::BIGINT[]))", [table.name, starts]
                )
        return recorded

    def remember(self, recorded: Recorded) -> None:
        """The transaction that wrote this down is committed."""
        with self._lock:
            # a merge since then may have struck some of it out again
            if recorded.merges == self._merges:
                self._known |= recorded.spans

    def strike(self, cursor: duckdb.DuckDBPyConnection, table: Table, start: datetime, end: datetime) -> None:
        """[start, end) of the table is merged, in `cursor`'s transaction."""
        with self._lock:
            self._merges += 1
            self._known.clear()
        cursor.execute("DELETE FROM unmerged WHERE rollup = ? AND start >= ? AND start < ?", [table.name, start, end])


def record_everything(cursor: duckdb.DuckDBPyConnection) -> None:
    """Write down every hour and day that the rollups have, as for a database whose merges nobody wrote down."""
    for rollup in ROLLUPS:
        for table in _tables(rollup):
            starts = f"SELECT DISTINCT date_trunc('{rollup.closes}', time) FROM {table.name}"
            cursor.execute(f"INSERT INTO unmerged SELECT '{table.name}', * FROM ({starts})")


def compact(database: Database, unmerged: Unmerged, now: datetime) -> int:
    """Merge what is closed at `now`; the number of rows saved."""
    saved = 0
    for rollup in ROLLUPS:
        for table in _tables(rollup):
            for start, end in _runs(_due(database, rollup, table, now), _SPANS[rollup.closes]):
                with database.writing() as cursor:
                    saved += _merge_where_needed(cursor, rollup, table, start, end)
                    unmerged.strike(cursor, table, start, end)
    return saved


def _tables(rollup: Rollup) -> tuple[Table, Table]:
    return rollup.usage, rollup.latency


def _due(database: Database, rollup: Rollup, table: Table, now: datetime) -> list[datetime]:
    """The starts of the closed hours (days) that got rows, in order; what lies before 1970 stays as it is."""
    latest = naive_utc(now) - _GRACE - _SPANS[rollup.closes]
    sql = "SELECT DISTINCT start FROM unmerged WHERE rollup = ? AND start BETWEEN 'epoch' AND ? ORDER BY start"
    with database.reading() as cursor:
        return [start for (start,) in cursor.execute(sql, [table.name, latest]).fetchall()]


def _runs(starts: Sequence[datetime], span: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """Neighbouring spans joined, up to `_MOST_SPANS` of them."""
    while starts:
        count = 1
        while count < min(len(starts), _MOST_SPANS) and starts[count] == starts[count - 1] + span:
            count += 1
        yield starts[0], starts[count - 1] + span
        starts = starts[count:]


def _merge_where_needed(
    cursor: duckdb.DuckDBPyConnection, rollup: Rollup, table: Table, start: datetime, end: datetime
) -> int:
    """Merge the hours (days) of [start, end) in which rows share their keys: to find them costs far less."""
    sql = (
        f"SELECT DISTINCT date_trunc('{rollup.closes}', time)::TIMESTAMP AS start FROM (SELECT time FROM {table.name} "
        f"WHERE time >= ? AND time < ? GROUP BY {', '.join(_keys(table))} HAVING count(*) > 1) ORDER BY start"
    )
    shared = [found for (found,) in cursor.execute(sql, [start, end]).fetchall()]
    return sum(_merge(cursor, table, *run) for run in _runs(shared, _SPANS[rollup.closes]))


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
