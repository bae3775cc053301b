"""Batches of ledger records on their way into `requests`: as Arrow, exactly once, with their rollups."""

from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from data import derived, rollups
from data.errors import QueryRejected
from data.protocol import Batch, naive_utc
from data.records import SCHEMA


def store_batch(cursor: duckdb.DuckDBPyConnection, rows: pa.Table, batch: Batch, now: datetime) -> tuple[int, pa.Table]:
    """Append what is new of a batch to `requests` and every rollup and move its offset, in `cursor`'s transaction.

    Row i carries the number `batch.first` + i; rows at or under the stored offset are dropped: a batch may come again.
    So are rows whose id follows from their content and is known (`data/derived.py`), from whichever spool they came.
    Returns the offset now stored and the rows that were new. Raises `QueryRejected` when rows and numbers do not fit.
    """
    if batch.last - batch.first + 1 != rows.num_rows:
        raise QueryRejected(f"the batch numbers {batch.first} to {batch.last} do not fit its {rows.num_rows} rows")
    stored = stored_offset(cursor, batch.spool_id)
    known = min(rows.num_rows, max(0, stored - batch.first + 1))
    # copied, not sliced: what comes off the wire lies unaligned in memory
    fresh = _conformed(rows).take(pa.array(range(known, rows.num_rows), pa.int64()))
    if not fresh.num_rows:
        return stored, fresh
    # as a number: the year may be one that Python has not
    latest = pc.max(fresh["ended_at"].cast(pa.timestamp("us")).cast(pa.int64())).as_py()
    fresh = derived.unknown(cursor, fresh)
    if fresh.num_rows:
        _append(cursor, fresh)
    cursor.execute(
        "INSERT INTO ingest_offsets (spool_id, sequence, updated_at, ended_at) VALUES (?, ?, ?, make_timestamp(?)) "
        "ON CONFLICT (spool_id) DO UPDATE SET sequence = excluded.sequence, updated_at = excluded.updated_at, "
        "ended_at = excluded.ended_at",
        [batch.spool_id, batch.last, naive_utc(now), latest],
    )
    return batch.last, fresh


def _append(cursor: duckdb.DuckDBPyConnection, rows: pa.Table) -> None:
    cursor.register("arriving", rows)
    cursor.execute("CREATE TEMP TABLE batch AS SELECT * FROM arriving")
    cursor.execute("INSERT INTO requests BY NAME SELECT * FROM batch")
    rollups.append(cursor, "batch")


def stored_offset(cursor: duckdb.DuckDBPyConnection, spool_id: str) -> int:
    """The last number of a spool whose row is stored; 0 when none is (spools number from 1)."""
    row = cursor.execute("SELECT sequence FROM ingest_offsets WHERE spool_id = ?", [spool_id]).fetchone()
    return int(row[0]) if row else 0


def _conformed(rows: pa.Table) -> pa.Table:
    try:
        return rows.select(SCHEMA.names).cast(SCHEMA)
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise QueryRejected(f"the rows are not rows of requests: {error}") from error
