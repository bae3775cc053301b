"""The simulator over the stored ledger, at the very instants at which the live engine would have evaluated."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from data.instants import instants
from data.periods import Grain
from data.store import Store
from engine.errors import Refused
from engine.history import Grid, History, load
from engine.rule import Rule
from engine.simulate import Simulation, replay
from engine.window import Period, Rolling, Window

#: More evaluations than this are refused: a coarser cadence or a shorter time says as much.
MOST_EVALUATIONS = 200_000
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_PERIODS: Mapping[Period, Grain] = {
    Period.TODAY: Grain.DAY,
    Period.THIS_WEEK: Grain.WEEK,
    Period.THIS_MONTH: Grain.MONTH,
}


class LedgerSeries:
    """`engine.history.Series` from the store's ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(
        self,
        *,
        metric: str,
        window: Window,
        by: tuple[str, ...],
        where: Mapping[str, tuple[str, ...]],
        start: datetime,
        end: datetime,
        step: timedelta,
        zone: ZoneInfo,
    ) -> pl.DataFrame:
        """The metric over `window` at start, start + step, … before `end`: columns time, *by, value."""
        length = window.length if isinstance(window, Rolling) else _PERIODS[window.period]
        return instants(
            self._store,
            metric=metric,
            window=length,
            start=start,
            end=end,
            step=step,
            by=by,
            where=where,
            tz=zone.key,
        )


def history(store: Store, rule: Rule, start: datetime, end: datetime) -> History:
    """What the rule's conditions measured at every evaluation in [start, end); raises Refused for too many of them."""
    grid = Grid(_aligned(start, rule.every), end, rule.every)
    if len(grid) > MOST_EVALUATIONS:
        raise Refused(f"{len(grid):,} evaluations are too many to replay, at most {MOST_EVALUATIONS:,}")
    return load(rule, LedgerSeries(store), grid)


def simulate(store: Store, rule: Rule, start: datetime, end: datetime) -> Simulation:
    """Replay the rule over the ledger of [start, end); raises Refused, and what the store raises."""
    return replay(rule, history(store, rule, start, end))


def _aligned(start: datetime, every: timedelta) -> datetime:
    """The first evaluation of the live engine at or after `start`: its ticks count from the same epoch."""
    return _EPOCH + -((_EPOCH - start) // every) * every
