"""Rows of the ledger: the latest, one, those of a session; and what values there are."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from data import own_sources
from data.dimensions import OWN_DIMENSIONS
from data.measures import MEASURE_SQL
from data.pieces import condition
from data.protocol import naive_utc
from data.query import Question, Reader, answer
from data.schema import requests

#: What a list of requests shows: everything but the raw usage object.
LISTED: tuple[str, ...] = tuple(c.name for c in requests.columns if c.name != "usage")
MOST_VALUES = 1000
Cursor = tuple[datetime, str]


def recent(
    store: Reader,
    limit: int,
    before: Cursor | None = None,
    where: Mapping[str, tuple[str, ...]] | None = None,
    start: datetime | None = None,
) -> pl.DataFrame:
    """The latest requests, last ended first: the columns LISTED.

    `before`: (ended_at, id) of the last row of the page before. `start`: none that ended earlier.
    """
    conditions, params = ["true"], list[object]()
    if before is not None:
        conditions.append("(ended_at, id) < (?, ?)")
        # said twice, because the pair alone does not let the database skip what is newer
        conditions.append("ended_at <= ?")
        params += [naive_utc(before[0]), before[1], naive_utc(before[0])]
    if start is not None:
        conditions.append("ended_at >= ?")
        params.append(naive_utc(start))
    for name, wanted in (where or {}).items():
        part = condition(name, wanted)
        conditions.append(part.text)
        params += part.params
    columns = ", ".join(f'"{name}"' for name in LISTED)
    text = f"SELECT {columns} FROM requests WHERE {' AND '.join(conditions)} ORDER BY ended_at DESC, id DESC LIMIT ?"
    return store.sql(text, [*params, limit])


def request(store: Reader, request_row_id: str) -> dict[str, Any] | None:
    """One row of `requests` with all its columns, by its `id`; None where there is none."""
    rows = store.sql("SELECT * FROM requests WHERE id = ? LIMIT 1", [request_row_id])
    return rows.row(0, named=True) if rows.height else None


def attempts(store: Reader, request_id: str) -> pl.DataFrame:
    """All attempts of one client call, first to last: the columns LISTED."""
    columns = ", ".join(f'"{name}"' for name in LISTED)
    text = f"SELECT {columns} FROM requests WHERE request_id = ? ORDER BY attempt, ended_at"
    return store.sql(text, [request_id])


_SESSIONS = f"""
SELECT session, min(started_at) AS started_at, max(ended_at) AS ended_at, count(*) AS requests,
    {MEASURE_SQL["errors"]} AS errors,
    CAST(coalesce(sum(cost_usd), 0) AS DECIMAL(38, 9)) AS cost,
    CAST(sum(uncached_input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens) AS BIGINT)
        AS input_tokens,
    CAST(sum(cache_read_tokens) AS BIGINT) AS cache_read_tokens,
    CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
    list_sort(list(DISTINCT model)) AS models,
    arg_max("user", ended_at) AS "user", arg_max("key", ended_at) AS "key", arg_max(project, ended_at) AS project
FROM requests WHERE ended_at >= ? AND ended_at < ? AND session <> ''
GROUP BY session ORDER BY max(ended_at) DESC, session LIMIT ?
"""


def sessions(store: Reader, start: datetime, end: datetime, limit: int = 100) -> pl.DataFrame:
    """Sessions with requests that ended in [start, end), the latest first, summed over that time.

    Columns: session, started_at, ended_at, requests, errors, cost (Decimal), input_tokens, cache_read_tokens,
    output_tokens, models (list), and user, key and project of its last request.
    """
    return store.sql(_SESSIONS, [naive_utc(start), naive_utc(end), limit])


def values(store: Reader, dimension: str, start: datetime, end: datetime) -> list[str]:
    """The values a dimension has among requests that ended in [start, end), most frequent first; '' left out.

    One that requests do not have has them where its metrics come from.
    """
    if dimension in {own.name for own in OWN_DIMENSIONS}:
        return own_sources.values(store, dimension, start, end)
    question = Question(("requests",), start, end, by=(dimension,), order_by="requests", limit=MOST_VALUES)
    return [value for value in answer(store, question)[dimension].to_list() if value]


def extent(store: Reader) -> tuple[datetime | None, datetime | None]:
    """When the first and the last request in the ledger ended (aware UTC); None where it is empty."""
    first, last = store.sql("SELECT min(ended_at), max(ended_at) FROM requests").row(0)
    return first, last
