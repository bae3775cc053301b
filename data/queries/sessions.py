"""Sessions of the ledger, agents rolled up into theirs, a page at a time."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import polars as pl

from data.measures import MEASURE_SQL
from data.pieces import Sql, condition
from data.protocol import naive_utc
from data.reads import Reader

#: Agents that are told of a session: those with the most requests.
MOST_AGENTS = 100
_INPUT = "uncached_input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens"
#: What is summed of a session's, or an agent's, requests. A cost that is made of nothing priced is not known.
_SUMS = f"""
    min(started_at) AS started_at, max(ended_at) AS ended_at,
    count(*) AS requests,
    {MEASURE_SQL["errors"]} AS errors,
    {MEASURE_SQL["unpriced"]} AS unpriced_requests,
    CAST(coalesce(sum(cost_usd), 0) AS DECIMAL(38, 9)) AS spent,
    CASE WHEN count(cost_usd) > 0 THEN CAST(sum(cost_usd) AS DECIMAL(38, 9)) END AS cost,
    CAST(sum({_INPUT}) AS BIGINT) AS input_tokens,
    CAST(sum(uncached_input_tokens) AS BIGINT) AS uncached_input_tokens,
    CAST(sum(cache_read_tokens) AS BIGINT) AS cache_read_tokens,
    CAST(sum(cache_write_5m_tokens + cache_write_1h_tokens) AS BIGINT) AS cache_write_tokens,
    CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
    CAST(sum(reasoning_tokens) AS BIGINT) AS reasoning_tokens,
    list_sort(list(DISTINCT model)) AS models"""


class Order(StrEnum):
    """Which sessions come first; the value is the column."""

    NEWEST = "ended_at"
    DEAREST = "spent"


#: The last session of the page before: its value of the order's column, and its name.
Cursor = tuple[datetime | Decimal, str]


def sessions(
    store: Reader,
    start: datetime,
    end: datetime,
    where: Mapping[str, Sequence[str]] | None = None,
    *,
    order: Order = Order.NEWEST,
    limit: int = 50,
    cursor: Cursor | None = None,
) -> pl.DataFrame:
    """Sessions with requests that ended in [start, end) and pass `where`, summed over these requests.

    Columns: session, started_at, ended_at, requests, errors, unpriced_requests, spent (Decimal, what is not priced
    left out), cost (Decimal, null where nothing is priced), input_tokens, uncached_input_tokens, cache_read_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, models (list), agents (how many, unnamed ones not counted),
    and user, key, team and project of its last request.
    """
    read = _read(start, end, where)
    last = ", ".join(f'arg_max("{name}", (ended_at, id)) AS "{name}"' for name in ("user", "key", "team", "project"))
    inner = f"SELECT session, {_SUMS}, count(DISTINCT nullif(agent, '')) AS agents, {last} {read.text} GROUP BY session"
    after, params = "", [*read.params]
    if cursor is not None:
        value, name = cursor
        after = f"WHERE ({order}, session) < (?, ?)"
        params += [naive_utc(value) if isinstance(value, datetime) else value, name]
    text = f"SELECT * FROM ({inner}) {after} ORDER BY {order} DESC, session DESC LIMIT ?"
    return store.sql(text, [*params, limit])


def agents(
    store: Reader,
    names: Sequence[str],
    start: datetime,
    end: datetime,
    where: Mapping[str, Sequence[str]] | None = None,
) -> pl.DataFrame:
    """The agents of these sessions, by the same requests, the busiest first; the session's own requests are agent ''.

    Columns: session, agent, and the sums of `sessions`.
    """
    read = _read(start, end, {**(where or {}), "session": (*names,)})
    text = (
        f"SELECT session, agent, {_SUMS} {read.text} GROUP BY session, agent "
        "QUALIFY row_number() OVER (PARTITION BY session ORDER BY count(*) DESC, agent) <= ? "
        "ORDER BY session, requests DESC, agent"
    )
    return store.sql(text, [*read.params, MOST_AGENTS])


def _read(start: datetime, end: datetime, where: Mapping[str, Sequence[str]] | None) -> Sql:
    """Which rows: the FROM and WHERE of a SELECT."""
    parts = [condition(name, wanted) for name, wanted in (where or {}).items()]
    conditions = ["ended_at >= ?", "ended_at < ?", "session <> ''", *(part.text for part in parts)]
    params = [naive_utc(start), naive_utc(end), *(value for part in parts for value in part.params)]
    return Sql(f"FROM requests WHERE {' AND '.join(conditions)}", params)
