"""The ledger as the simulator's source of history."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from data.instants import instants
from data.query import Grain, Reader
from engine.history import Series
from engine.window import Period, Rolling, Window

_GRAINS: Mapping[Period, Grain] = {
    Period.TODAY: Grain.DAY,
    Period.THIS_WEEK: Grain.WEEK,
    Period.THIS_MONTH: Grain.MONTH,
}


def stored(store: Reader) -> Series:
    """History as the ledger has it; asking raises the store's errors."""

    def series(
        *,
        metric: str,
        window: Window,
        by: tuple[str, ...],
        where: Mapping[str, tuple[str, ...]],
        start: datetime,
        end: datetime,
        step: timedelta,
        tz: str,
    ) -> pl.DataFrame:
        return instants(
            store,
            metric=metric,
            window=window.length if isinstance(window, Rolling) else _GRAINS[window.period],
            start=start,
            end=end,
            step=step,
            by=by,
            where=where,
            tz=tz,
        )

    return series
