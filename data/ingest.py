"""Batches of ledger records on their way into `requests`: as Arrow, exactly once, with their rollups."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from data import rollups
from data.errors import QueryRejected
from data.model import LedgerRecord
from data.protocol import Batch, naive_utc
from data.schema import requests

_ARROW_TYPES: dict[str, pa.DataType] = {
    "VARCHAR": pa.string(),
    "SMALLINT": pa.int16(),
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "DATETIME": pa.timestamp("us"),
    "NUMERIC(18, 9)": pa.decimal128(18, 9),
    "DOUBLE": pa.float64(),
}
#: `requests` as Arrow: its columns in order.
SCHEMA: pa.Schema = pa.schema(
    [pa.field(c.name, _ARROW_TYPES[str(c.type)], nullable=bool(c.nullable)) for c in requests.columns],
)
_NANODOLLAR = Decimal("0.000000001")
_as_tuple = msgspec.structs.astuple
_to_json = msgspec.json.encode


def record_table(records: Sequence[LedgerRecord]) -> pa.Table:
    """Ledger records as rows of `requests`, in their order.

    Money is rounded to the nanodollar; tags become JSON text; text that is not valid Unicode is repaired.
    """
    columns: Iterable[tuple[Any, ...]] = zip(*map(_as_tuple, records), strict=True)
    if not records:
        return SCHEMA.empty_table()
    arrays = [_array(field, values) for field, values in zip(_RECORD_FIELDS, columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_RECORD_SCHEMA).select(SCHEMA.names)


def store_batch(cursor: duckdb.DuckDBPyConnection, rows: pa.Table, batch: Batch, now: datetime) -> tuple[int, pa.Table]:
    """Append what is new of a batch to `requests` and every rollup and move its offset, in `cursor`'s transaction.

    Row i carries the number `batch.first` + i; rows at or under the stored offset are dropped: a batch may come again.
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
    cursor.register("arriving", fresh)
    cursor.execute("CREATE TEMP TABLE batch AS SELECT * FROM arriving")
    cursor.execute("INSERT INTO requests BY NAME SELECT * FROM batch")
    rollups.append(cursor, "batch")
    cursor.execute(
        "INSERT INTO ingest_offsets (spool_id, sequence, updated_at) VALUES (?, ?, ?) "
        "ON CONFLICT (spool_id) DO UPDATE SET sequence = excluded.sequence, updated_at = excluded.updated_at",
        [batch.spool_id, batch.last, naive_utc(now)],
    )
    return batch.last, fresh


def stored_offset(cursor: duckdb.DuckDBPyConnection, spool_id: str) -> int:
    """The last number of a spool whose row is stored; 0 when none is (spools number from 1)."""
    row = cursor.execute("SELECT sequence FROM ingest_offsets WHERE spool_id = ?", [spool_id]).fetchone()
    return int(row[0]) if row else 0


def _conformed(rows: pa.Table) -> pa.Table:
    try:
        return rows.select(SCHEMA.names).cast(SCHEMA)
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise QueryRejected(f"the rows are not rows of requests: {error}") from error


def _money(values: Sequence[Decimal | None]) -> pa.Array:
    rounded = [None if value is None else value.quantize(_NANODOLLAR) for value in values]
    return pa.array(rounded, pa.decimal128(18, 9))


def _tags(values: Sequence[dict[str, str]]) -> pa.Array:
    return _text([_to_json(value).decode() if value else "{}" for value in values])


def _text(values: Sequence[str]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:  # half a surrogate pair, as JSON may carry it
        return pa.array([value.encode("utf-8", "replace").decode() for value in values], pa.string())


_SPECIAL: dict[str, Callable[[Sequence[Any]], pa.Array]] = {"cost_usd": _money, "tags": _tags}


def _array(field: pa.Field, values: Sequence[Any]) -> pa.Array:
    if convert := _SPECIAL.get(field.name):
        return convert(values)
    return _text(values) if field.type == pa.string() else pa.array(values, field.type)


_RECORD_FIELDS = [SCHEMA.field(name) for name in LedgerRecord.__struct_fields__]
_RECORD_SCHEMA = pa.schema(_RECORD_FIELDS)
