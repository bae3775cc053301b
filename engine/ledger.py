"""The simulator over the stored ledger, at the very instants at which the live engine would have evaluated."""

from datetime import UTC, datetime, timedelta

from data.store import Store
from engine.errors import Refused
from engine.history import Grid, History, load
from engine.rule import Rule
from engine.series import stored
from engine.simulate import Simulation, replay

#: More evaluations than this are refused: a coarser cadence or a shorter time says as much.
MOST_EVALUATIONS = 200_000
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def history(store: Store, rule: Rule, start: datetime, end: datetime) -> History:
    """What the rule's conditions measured at every evaluation in [start, end); raises Refused for too many of them."""
    grid = Grid(_aligned(start, rule.every), end, rule.every)
    if len(grid) > MOST_EVALUATIONS:
        raise Refused(f"{len(grid):,} evaluations are too many to replay, at most {MOST_EVALUATIONS:,}")
    return load(rule, stored(store), grid)


def simulate(store: Store, rule: Rule, start: datetime, end: datetime) -> Simulation:
    """Replay the rule over the ledger of [start, end); raises Refused, and what the store raises."""
    return replay(rule, history(store, rule, start, end))


def _aligned(start: datetime, every: timedelta) -> datetime:
    """The first evaluation of the live engine at or after `start`: its ticks count from the same epoch."""
    return _EPOCH + -((_EPOCH - start) // every) * every
