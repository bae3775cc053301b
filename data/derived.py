"""Rows whose id follows from what they are: stored once, however often and from wherever they come.

A result of a batch may be fetched many times and through any proxy, a log may be imported again: each time the same
rows come with the same ids, in another spool. Their ids are kept in the table `derived_ids`, which no other row
touches.
"""

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from data.model import Endpoint, Source

_INSERT = "INSERT INTO derived_ids SELECT unnest(?::VARCHAR[]) ON CONFLICT DO NOTHING RETURNING id"
#: What is true of a row with such an id, as SQL.
IS_DERIVED = f"source = '{Source.IMPORTED}' OR endpoint = '{Endpoint.BATCH_RESULT}'"
# not scalars of Arrow: to make one while this is imported would bring pandas in, before a program can do without it
_IMPORTED, _BATCH_RESULT = str(Source.IMPORTED), str(Endpoint.BATCH_RESULT)


def unknown(cursor: duckdb.DuckDBPyConnection, rows: pa.Table) -> pa.Table:
    """The rows (columns of `requests`) without those whose derived id is known; `cursor`'s transaction learns the rest.

    Of several rows with one derived id the first stays. The order stays too.
    """
    derived = pc.or_(pc.equal(rows["source"], _IMPORTED), pc.equal(rows["endpoint"], _BATCH_RESULT))
    if not pc.any(derived).as_py():
        return rows
    ids, flags = rows["id"].to_pylist(), derived.to_pylist()
    came = dict.fromkeys(one for one, flag in zip(ids, flags, strict=True) if flag)
    left = {one for (one,) in cursor.execute(_INSERT, [list(came)]).fetchall()}
    kept = []
    for place, (one, flag) in enumerate(zip(ids, flags, strict=True)):
        if not flag or one in left:
            kept.append(place)
        if flag:
            left.discard(one)
    return rows.take(pa.array(kept, pa.int64()))
