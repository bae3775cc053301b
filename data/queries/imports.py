"""What the ledger knows already of calls that are to be imported."""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from data.model import Source
from data.protocol import naive_utc
from data.store import Store

_MOST_ROWS = 10_000_000
_STORED = f"""
SELECT d.id, r.ended_at, r.stop_reason, r.cost_usd, r.tool_units, r.output_tokens,
    r.uncached_input_tokens + r.cache_read_tokens + r.cache_write_5m_tokens + r.cache_write_1h_tokens AS input_tokens
FROM derived_ids d
LEFT JOIN requests r ON r.id = d.id AND r.source = '{Source.IMPORTED}' AND r.ended_at BETWEEN ? AND ?
WHERE d.id IN (SELECT unnest(?::VARCHAR[]))
"""
_LIVE_IDS = f"""
SELECT DISTINCT provider_request_id FROM requests
WHERE source = '{Source.LIVE}' AND ended_at BETWEEN ? AND ?
    AND provider_request_id IN (SELECT unnest(?::VARCHAR[]))
"""
_LIVE_COUNTS = f"""
SELECT DISTINCT session, output_tokens,
    uncached_input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens AS input_tokens
FROM requests
WHERE source = '{Source.LIVE}' AND ended_at BETWEEN ? AND ? AND session IN (SELECT unnest(?::VARCHAR[]))
"""


def stored(store: Store, ids: Sequence[str], start: datetime, end: datetime) -> pl.DataFrame:
    """Which of these ids of imported rows are known, and the rows, where they ended in [start, end].

    Columns: id, and null where the row is not there any more (or not then): ended_at, stop_reason, cost_usd,
    tool_units, output_tokens, input_tokens.
    """
    return store.sql(_STORED, [naive_utc(start), naive_utc(end), list(ids)], max_rows=_MOST_ROWS)


def live_request_ids(store: Store, ids: Sequence[str], start: datetime, end: datetime) -> set[str]:
    """Those of the provider's request ids that went through the proxy in [start, end]."""
    found = store.sql(_LIVE_IDS, [naive_utc(start), naive_utc(end), list(ids)], max_rows=_MOST_ROWS)
    return set(found["provider_request_id"].to_list())


def live_counts(store: Store, sessions: Sequence[str], start: datetime, end: datetime) -> set[tuple[str, int, int]]:
    """(session, output tokens, input tokens) of what went through the proxy in [start, end] in these sessions."""
    found = store.sql(_LIVE_COUNTS, [naive_utc(start), naive_utc(end), list(sessions)], max_rows=_MOST_ROWS)
    return set(found.rows())
