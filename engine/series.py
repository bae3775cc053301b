"""The ledger as the simulator's source of history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from data.instants import Asked, lines
from data.query import Grain, Reader
from data.sliding_reads import Line
from engine.condition import written_value
from engine.evaluate import Group
from engine.history import Grid, Points, Source, Wanted
from engine.rule import Rule
from engine.window import Period, Rolling, Window

_GRAINS: Mapping[Period, Grain] = {
    Period.TODAY: Grain.DAY,
    Period.THIS_WEEK: Grain.WEEK,
    Period.THIS_MONTH: Grain.MONTH,
}


def stored(store: Reader) -> Source:
    """History as the ledger has it; asking raises the store's errors."""
    return _Stored(store)


@dataclass(frozen=True, slots=True)
class _Stored:
    store: Reader

    def points(self, rule: Rule, wanted: Sequence[Wanted], grid: Grid) -> list[Mapping[Group, Points]]:
        """Each one's series by group; conditions about the same requests share what is read."""
        found = lines(self.store, [_asked(rule, one, grid) for one in wanted])
        return [{tuple(map(written_value, line.group)): _points(line) for line in of} for of in found]


def _asked(rule: Rule, wanted: Wanted, grid: Grid) -> Asked:
    return Asked(
        metric=wanted.metric,
        window=_window(wanted.window),
        start=grid.start - wanted.shift,
        end=grid.end - wanted.shift,
        step=grid.step,
        by=rule.group_by,
        where=dict(wanted.where),
        tz=rule.tz,
    )


def _window(window: Window) -> timedelta | Grain:
    return window.length if isinstance(window, Rolling) else _GRAINS[window.period]


def _points(line: Line) -> Points:
    return Points(line.ticks, line.values.fill_null(float("nan")).to_numpy())
