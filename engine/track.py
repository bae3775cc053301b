"""What a rule says of one group at every tick of a history: all ticks compared at once, with the live comparisons.

A value is reduced to a code (`codes`), the codes of a rule's conditions to one number a tick, and each different number
is composed once, by the function that composes an evaluation (`engine.truth.compose`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.condition import CompareAs, Condition
from engine.evaluate import Group, empty_value, number
from engine.history import Flags, History, Numbers, Points, Ticks
from engine.rule import Rule
from engine.truth import HOLDS, Truth, compose, decisive, threshold

Codes = npt.NDArray[np.unsignedinteger]
#: With more recovery thresholds there are too many sets that may be held.
_FEW = 4


class Verdict(NamedTuple):
    """What `engine.state.step` looks at of an evaluation."""

    labels: Mapping[str, str]
    truth: Truth
    value: float | None
    threshold: float
    truths: tuple[Truth, ...]


class Said(NamedTuple):
    """What one combination of codes says: of the rule, of each condition, and by which condition (its position)."""

    truth: Truth
    truths: tuple[Truth, ...]
    decisive: int
    threshold: float


class Meanings:
    """What combinations of codes mean for one rule; each is composed once for all ticks and all groups."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._said: dict[tuple[int, frozenset[int]], Said] = {}
        self._meant: dict[int, int] = {}
        self._numbers: dict[tuple[object, ...], int] = {}

    def said(self, packed: int, held: frozenset[int]) -> Said:
        """What it says while these conditions (positions) are held by their recovery thresholds."""
        known = self._said.get((packed, held))
        if known is None:
            known = self._said[packed, held] = self._say(packed, held)
        return known

    def numbers(self, packed: Codes) -> Ticks:
        """Equal numbers mean equal truth and equal holding, whatever is held."""
        different, where = np.unique(packed, return_inverse=True)
        meant: Ticks = np.array([self._number(each) for each in different.tolist()], dtype=np.int64)[where]
        return meant

    def _number(self, packed: int) -> int:
        known = self._meant.get(packed)
        if known is None:
            known = self._meant[packed] = self._numbers.setdefault(self._meaning(packed), len(self._numbers))
        return known

    def _meaning(self, packed: int) -> tuple[object, ...]:
        recovering = self.rule.recovering
        if len(recovering) > _FEW:
            return (packed,)
        sets = chain.from_iterable(combinations(recovering, size) for size in range(len(recovering) + 1))
        truths = [self.said(packed, frozenset(held)).truth for held in sets]
        return *(_code(packed, n) for n in recovering), *truths

    def _say(self, packed: int, held: frozenset[int]) -> Said:
        conditions = self.rule.conditions
        truths = tuple(_truth(_code(packed, n), held=n in held) for n in range(len(conditions)))
        truth = compose(self.rule.when, truths)
        tells = decisive(truth, truths)
        return Said(truth, truths, tells, threshold(conditions[tells], held=tells in held))


@dataclass(frozen=True, slots=True)
class Track:
    """One group at every tick.

    `present` says when it was there (None: always), `values` what each condition's threshold is held against, `packed`
    the conditions' codes; at `changes`, ascending, something else is said than at the tick before.
    """

    labels: Mapping[str, str]
    meanings: Meanings
    present: Flags | None
    values: tuple[Numbers, ...]
    packed: Codes
    changes: list[int]

    def verdict(self, tick: int, held: frozenset[int]) -> Verdict | None:
        """What is said at a tick; None where the group is not there."""
        if self.present is not None and not self.present[tick]:
            return None
        said = self.meanings.said(int(self.packed[tick]), held)
        value = number(self.values[said.decisive].item(tick))
        return Verdict(self.labels, said.truth, value, said.threshold, said.truths)

    @property
    def first(self) -> int | None:
        """The first tick at which the group is there."""
        if self.present is None:
            return 0 if len(self.packed) else None
        return int(np.argmax(self.present)) if self.present.any() else None


def track(meanings: Meanings, history: History, group: Group, labels: Mapping[str, str]) -> Track:
    """The group's measurements, judged by the rule of `meanings`."""
    rule = meanings.rule
    present = presence(rule, history, group)
    values = values_of(rule, history, group)
    packed = _packed([codes(c, v) for c, v in zip(rule.conditions, values, strict=True)], len(history.grid))
    return Track(labels, meanings, present, values, packed, _changes(meanings, present, packed))


def presence(rule: Rule, history: History, group: Group) -> Flags | None:
    """The ticks at which any series has the group; None for all of them, as for the one group of an ungrouped rule."""
    length = len(history.grid)
    ticks = [points[group].ticks for part in history.series for points in part if group in points]
    if not rule.group_by or any(len(each) == length for each in ticks):
        return None
    present = np.zeros(length, dtype=bool)
    for each in ticks:
        present[each] = True
    return present


def values_of(rule: Rule, history: History, group: Group) -> tuple[Numbers, ...]:
    """Per condition what its threshold is held against, at every tick (NaN: nothing)."""
    length = len(history.grid)
    return tuple(
        compared_all(condition, [_dense(condition, points.get(group), length) for points in series])
        for condition, series in zip(rule.conditions, history.series, strict=True)
    )


def _dense(condition: Condition, points: Points | None, length: int) -> Numbers:
    """A series spread over all ticks; where there is no row the metric is what it is over no requests."""
    empty = empty_value(condition.metric)
    blank = np.nan if empty is None else empty
    if points is None:
        return np.full(length, blank)
    known = points.values if empty is None else np.where(np.isnan(points.values), blank, points.values)
    if len(points.ticks) == length:
        return known
    values = np.full(length, blank)
    values[points.ticks] = known
    return values


def compared_all(condition: Condition, values: Sequence[Numbers]) -> Numbers:
    """`engine.evaluate.compared` for all ticks at once."""
    if condition.compare is None:
        return values[0]
    measured, baseline = values
    if condition.compare.as_ is CompareAs.DIFFERENCE:
        return measured - baseline
    with np.errstate(divide="ignore", invalid="ignore"):
        change = (measured - baseline) / np.abs(baseline) * 100
    return np.where(baseline == 0, np.nan, change)


def codes(condition: Condition, values: Numbers) -> Codes:
    """What matters of a value: 0 no data, 1 false, 2 true only if held by the recovery threshold, 3 true.

    Equal codes (and equal held conditions) mean equal truth, because `engine.truth.judge` asks the same comparisons.
    """
    holds = HOLDS[condition.op]
    true = holds(values, condition.value).view(np.uint8)
    held = true if condition.recovery is None else holds(values, condition.recovery).view(np.uint8)
    known: Codes = (~np.isnan(values)).view(np.uint8) * (np.uint8(1) + true + held)
    return known


def _packed(said: Iterable[Codes], length: int) -> Codes:
    """The codes of a tick in one number, two bits each; a narrow one, where they are few."""
    parts = list(said)
    kind = np.min_scalar_type(4 ** len(parts) - 1)
    packed = np.zeros(length, dtype=kind)
    for n, part in enumerate(parts):
        packed |= part.astype(kind) << kind.type(2 * n)
    return packed


def _code(packed: int, position: int) -> int:
    return packed >> 2 * position & 3


def _truth(code: int, *, held: bool) -> Truth:
    if code == 0:
        return Truth.NO_DATA
    return Truth.TRUE if code == 3 or (held and code == 2) else Truth.FALSE


def _changes(meanings: Meanings, present: Flags | None, packed: Codes) -> list[int]:
    """Ticks that say something else than the one before, and a group's last before it vanishes: its value is shown."""
    edges = np.flatnonzero(packed[1:] != packed[:-1]) + 1
    meant = meanings.numbers(packed[np.concatenate([edges - 1, edges])])
    before, after = meant[: len(edges)], meant[len(edges) :]
    changed = edges[before != after]
    if present is not None:
        turned = np.flatnonzero(present[1:] != present[:-1]) + 1
        changed = np.unique(np.concatenate([changed, turned, turned[~present[turned]] - 1]))
    ticks: list[int] = changed.tolist()
    return ticks
