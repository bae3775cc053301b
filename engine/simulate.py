"""A rule over history: which states it would have been in, and who would have been told what, when and why.

The live engine's own comparisons (`engine.truth`) and `engine.state.step` are run at the instants where something can
come out otherwise: a value has crossed a threshold, a group came or went, the last evaluation changed something, or a
timer is due. In between, evaluating again would change nothing. So are its decisions (`engine.simulated_notices`).
Nothing is saved and nothing is sent.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, partial

import polars as pl

from engine.evaluate import Group, labels_of, levelled
from engine.history import Grid, History, Series, Source, load
from engine.noise import Noise, noise
from engine.rule import Rule
from engine.said import Digest, Said, SimulatedNotice
from engine.simulated_group import incidents
from engine.simulated_notices import said
from engine.state import State, Transition
from engine.surroundings import ALONE, Surroundings
from engine.track import Meanings, Track, presence, track, values_of
from engine.truth import group_key
from engine.walk import walk

#: Values are kept for this many groups, those longest in an alert first; transitions are kept for all.
CHARTED_GROUPS = 20
_VALUES = (
    ("time", pl.Datetime("us", "UTC")),
    ("group", pl.String()),
    ("condition", pl.String()),
    ("value", pl.Float64()),
    ("threshold", pl.Float64()),
)


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of time [start, end) that a group spent in one state."""

    labels: Mapping[str, str]
    state: State
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Totals:
    """How many, how long, how noisy. `sent` and `digests` are by channel, `silent` by reason, `seconds` by state.

    What is told of several groups at once is one notification, where the rule groups and the channel takes it; digests
    are none of them. `held` is what was held back still at the end. Each level of a group counts by itself, but for
    `groups`.
    """

    evaluations: int
    groups: int
    incidents: int
    longest_incident_s: float
    notifications: int
    sent: Mapping[str, int]
    silent: Mapping[str, int]
    seconds: Mapping[State, float]
    digests: Mapping[str, int] = field(default_factory=dict)
    held: int = 0


@dataclass(frozen=True)
class Simulation:
    """What would have been."""

    grid: Grid
    transitions: tuple[Transition, ...]
    bands: tuple[Band, ...]
    notices: tuple[SimulatedNotice, ...]
    totals: Totals
    measured: Callable[[], pl.DataFrame] = field(repr=False, compare=False)
    digests: tuple[Digest, ...] = ()
    noise: tuple[Noise, ...] = ()

    @cached_property
    def values(self) -> pl.DataFrame:
        """Columns time, group (Enum: its key, without a level), condition (Enum: its path), value and threshold.

        One row an evaluation. They may be millions, so they are put together when they are first looked at.
        """
        return self.measured()


def simulate(
    rule: Rule, source: Source | Series, start: datetime, end: datetime, step_by: timedelta | None = None
) -> Simulation:
    """Replay the rule over [start, end) at the instants the worker evaluates it, or every `step_by`.

    `source` is `engine.series.stored(store)` for the ledger; its errors pass through.
    """
    return replay(rule, load(rule, source, Grid.full(start, end, step_by or rule.every)))


def replay(rule: Rule, history: History, around: Surroundings = ALONE) -> Simulation:
    """Replay the rule over a history loaded before, so that thresholds and timers can be tried without asking again."""
    levels = [Meanings(level) for level in rule.levels.values()] or [Meanings(rule)]
    groups = history.groups() if rule.group_by else [()]
    played = [one for group in groups for one in _play(rule, levels, history, group)]
    told = said(rule, history.grid, [(one.labels, one.walk) for one in played], around)
    return Simulation(
        grid=history.grid,
        transitions=tuple(sorted((t for one in played for t in one.walk), key=lambda t: t.at)),
        bands=tuple(band for one in played for band in one.bands),
        notices=told.notices,
        totals=_totals(history.grid, played, told),
        measured=partial(_values, rule, history, _charted(played)),
        digests=told.digests,
        noise=noise(told, rule.zone),
    )


@dataclass(frozen=True, slots=True)
class _Played:
    """What one group, at one level, came to. Its measurements are not kept: groups may be many."""

    group: Group
    labels: Mapping[str, str]
    walk: Sequence[Transition]
    bands: Sequence[Band]

    @property
    def firing_s(self) -> float:
        return sum((band.end - band.start).total_seconds() for band in self.bands if band.state is State.FIRING)


def _play(rule: Rule, levels: Sequence[Meanings], history: History, group: Group) -> list[_Played]:
    """Once a level."""
    played: list[_Played] = []
    for meanings, labels in zip(levels, levelled(rule, labels_of(rule, group)), strict=True):
        followed = track(meanings, history, group, labels)
        moves = walk(meanings.rule, history.grid, followed)
        played.append(_Played(group, labels, moves, _bands(history.grid, followed, moves)))
    return played


def _bands(grid: Grid, followed: Track, moves: Sequence[Transition]) -> list[Band]:
    if followed.first is None:
        return []
    first = grid.at(followed.first)
    edges = [first, *(t.at for t in moves), max(grid.end, first)]
    states = [State.NORMAL, *(t.after for t in moves)]
    spans = zip(states, edges, edges[1:], strict=False)
    return [Band(followed.labels, state, start, end) for state, start, end in spans if start < end]


def _charted(played: Sequence[_Played]) -> list[Group]:
    return list(dict.fromkeys(one.group for one in sorted(played, key=lambda one: -one.firing_s)))[:CHARTED_GROUPS]


def _values(rule: Rule, history: History, groups: Sequence[Group]) -> pl.DataFrame:
    keys = {group: group_key(labels_of(rule, group)) for group in groups}
    times = history.grid.times()
    of_group, of_condition = pl.Enum(keys.values()), pl.Enum([path for path, _ in rule.placed])
    frames = []
    for group, key in keys.items():
        present = presence(rule, history, group)
        for (path, condition), values in zip(rule.placed, values_of(rule, history, group), strict=True):
            frame = pl.DataFrame({"time": times, "value": values}, nan_to_null=True)
            frames.append(
                (frame if present is None else frame.filter(pl.Series(present))).select(
                    "time",
                    pl.lit(key, of_group).alias("group"),
                    pl.lit(path, of_condition).alias("condition"),
                    "value",
                    pl.lit(condition.value).alias("threshold"),
                )
            )
    return pl.concat(frames) if frames else pl.DataFrame(schema=dict(_VALUES))


def _totals(grid: Grid, played: Sequence[_Played], told: Said) -> Totals:
    seconds: Counter[State] = Counter()
    for band in (band for one in played for band in one.bands):
        seconds[band.state] += int((band.end - band.start).total_seconds())
    lasted = [((i.resolved or grid.end) - i.opened).total_seconds() for one in played for i in incidents(one.walk)]
    sent = Counter(message.channel for message in told.messages if not message.digest)
    return Totals(
        evaluations=len(grid),
        groups=len({one.group for one in played if one.bands}),
        incidents=len(lasted),
        longest_incident_s=max(lasted, default=0.0),
        notifications=sent.total(),
        sent=dict(sent),
        silent=dict(Counter(n.reason.value for n in told.notices if not n.reason.notifies)),
        seconds=dict(seconds),
        digests=dict(Counter(digest.channel for digest in told.digests)),
        held=told.held,
    )
