"""The simulator over the stored ledger, at the very instants at which the live engine would have evaluated."""

from datetime import datetime

from data.store import Store
from engine.errors import Refused
from engine.evaluate import MOST_GROUPS, too_many
from engine.history import Grid, load
from engine.rule import Rule
from engine.series import stored
from engine.simulate import Simulation, replay
from engine.surroundings import ALONE, Surroundings

#: More evaluations than this are refused: a coarser cadence or a shorter time says as much.
MOST_EVALUATIONS = 200_000
#: And more than this over all groups together: about half a minute's work.
MOST_GROUP_EVALUATIONS = 500_000_000


def simulate(store: Store, rule: Rule, start: datetime, end: datetime, around: Surroundings = ALONE) -> Simulation:
    """Replay the rule over the ledger of [start, end); raises Refused for too much of it, and what the store raises.

    `around` is what else decides who is told (`engine.recorded.surroundings`).
    """
    grid = Grid.full(start, end, rule.every)
    if len(grid) > MOST_EVALUATIONS:
        raise Refused(f"{len(grid):,} evaluations are too many to replay, at most {MOST_EVALUATIONS:,}")
    found = load(rule, stored(store), grid)
    groups = len(found.groups())
    if groups * len(grid) > MOST_GROUP_EVALUATIONS:
        raise Refused(f"{groups:,} groups are too many to replay {len(grid):,} times; ask for a shorter time")
    if groups > MOST_GROUPS and (why := too_many(found.most_groups())):
        raise Refused(f"the rule would not be evaluated: {why}")
    return replay(rule, found, around)
