"""A made-up history of a team's calls, and its way into a store."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from sqlalchemy import select

from data.demo.amounts import amounts
from data.demo.draws import draw
from data.demo.rhythm import calls, first_hour
from data.demo.rows import table
from data.demo.storyline import story
from data.pricing import PriceBook
from data.schema import ingest_offsets
from data.store import Store

DEFAULT_DAYS = 90
DEFAULT_REQUESTS = 150_000
_HOUR = timedelta(hours=1)
_BATCH_ROWS = 20_000


def generate(
    *, days: int = DEFAULT_DAYS, requests: int = DEFAULT_REQUESTS, seed: int = 1, now: datetime
) -> Iterator[pa.Table]:
    """So many rows of `requests` in the order of `ended_at`, all in the `days` before `now` (aware), a table a day.

    The same arguments give the same rows; `data.demo.story` tells what happened in them.
    """
    told = story(now=now, days=days)
    counts = calls(told, requests, np.random.default_rng([seed, 0]))
    begin = first_hour(told)
    hours = [begin + index * _HOUR for index in range(len(counts))]
    hours_us = np.array([round(hour.timestamp() * 1e6) for hour in hours], dtype=np.int64)
    dates = np.array([hour.toordinal() for hour in hours])
    prices = PriceBook()
    for ordinal in np.unique(dates):
        of_day = dates == ordinal
        if counts[of_day].sum():
            random = np.random.default_rng([seed, int(ordinal - dates[0]) + 1])
            draws = draw(told, hours_us[of_day], counts[of_day], seed, random)
            yield table(draws, amounts(told, draws, random), prices, random)


def load(
    store: Store,
    *,
    days: int = DEFAULT_DAYS,
    requests: int = DEFAULT_REQUESTS,
    seed: int = 1,
    now: datetime | None = None,
) -> int:
    """Put a history that ends now (or at `now`, aware) into `store`; how many rows were new.

    The spool is `demo-SEED` and its rows are numbered from 1: loading again adds nothing, a load that was interrupted
    goes on where it stopped, and one of more requests adds the rows beyond. Raises what the store raises.
    """
    spool_id = f"demo-{seed}"
    stored = before = _stored(store, spool_id)
    if stored >= requests:
        return 0
    sent = 0
    for rows in _batched(generate(days=days, requests=requests, seed=seed, now=now or datetime.now(UTC))):
        first, sent = sent + 1, sent + rows.num_rows
        if sent > stored:
            stored = store.put(rows, spool_id=spool_id, first=first, last=sent)
    return stored - before


def _stored(store: Store, spool_id: str) -> int:
    """The number of the spool's last row in the store; 0 for none."""
    found = store.frame(select(ingest_offsets.c.sequence).where(ingest_offsets.c.spool_id == spool_id))
    return int(found.item()) if found.height else 0


def _batched(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of about `_BATCH_ROWS`."""
    kept: list[pa.Table] = []
    for rows in tables:
        kept.append(rows)
        if sum(each.num_rows for each in kept) >= _BATCH_ROWS:
            yield pa.concat_tables(kept)
            kept = []
    if kept:
        yield pa.concat_tables(kept)
