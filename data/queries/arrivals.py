"""When spools' records arrived in the ledger, and how late."""

import polars as pl
from sqlalchemy import func, select

from data.schema import ingest_offsets
from data.store import Store

#: More spools than a company has; the others have been quiet for longest.
MOST = 1000


def arrivals(store: Store) -> pl.DataFrame:
    """Each spool's last batch, the latest first, by the store's own clock.

    Columns: spool_id; age_s, how long ago it came; lag_s, how long before that the last request in it had ended, null
    where that was not noted.
    """
    columns = ingest_offsets.c
    came, ended = func.epoch_us(columns.updated_at), func.epoch_us(columns.ended_at)
    age, lag = (func.epoch_us(func.now()) - came) / 1e6, (came - ended) / 1e6
    chosen = select(columns.spool_id, age.label("age_s"), lag.label("lag_s"))
    return store.frame(chosen.order_by(columns.updated_at.desc()).limit(MOST))
