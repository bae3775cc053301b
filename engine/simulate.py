"""A rule over history: which states it would have been in, and who would have been told what, when and why.

The live engine's own truth (`engine.evaluate.truth_of`) and `engine.state.step` are run at the instants where something
can come out otherwise: a value has crossed a threshold, a group came or went, the last evaluation changed something, or
a timer is due. In between, evaluating again would change nothing. So are its decisions (`engine.simulated_notices`).
Nothing is saved and nothing is sent.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from engine.evaluate import Group, labels_of, levelled, number, truth_of
from engine.history import (
    Flags,
    Grid,
    History,
    Numbers,
    Series,
    Source,
    codes,
    compared_all,
    composed,
    dense,
    load,
)
from engine.noise import Noise, noise
from engine.rule import Rule
from engine.said import Digest, Notice, Said
from engine.simulated_group import incidents
from engine.simulated_notices import said
from engine.state import Instance, State, Transition, step
from engine.surroundings import ALONE, Surroundings
from engine.truth import GroupTruth, group_key

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


@dataclass(frozen=True, slots=True)
class Simulation:
    """What would have been.

    `values` has columns time, group (its key, without a level), condition (its path), value and threshold, one row an
    evaluation.
    """

    grid: Grid
    values: pl.DataFrame
    transitions: tuple[Transition, ...]
    bands: tuple[Band, ...]
    notices: tuple[Notice, ...]
    totals: Totals
    digests: tuple[Digest, ...] = ()
    noise: tuple[Noise, ...] = ()


def simulate(
    rule: Rule, source: Source | Series, start: datetime, end: datetime, step_by: timedelta | None = None
) -> Simulation:
    """Replay the rule over [start, end) at the instants the worker evaluates it, or every `step_by`.

    `source` is `engine.series.stored(store)` for the ledger; its errors pass through.
    """
    return replay(rule, load(rule, source, Grid.full(start, end, step_by or rule.every)))


def replay(rule: Rule, history: History, around: Surroundings = ALONE) -> Simulation:
    """Replay the rule over a history loaded before, so that thresholds and timers can be tried without asking again."""
    played = [one for group in (history.groups() if rule.group_by else [()]) for one in _play(rule, history, group)]
    told = said(rule, history.grid, [(one.labels, one.walk) for one in played], around)
    return Simulation(
        grid=history.grid,
        values=_values(rule, history, _charted(played)),
        transitions=tuple(sorted((t for one in played for t in one.walk), key=lambda t: t.at)),
        bands=tuple(band for one in played for band in one.bands),
        notices=told.notices,
        totals=_totals(history.grid, played, told),
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


def _play(rule: Rule, history: History, group: Group) -> list[_Played]:
    """Once a level."""
    played: list[_Played] = []
    for labels in levelled(rule, labels_of(rule, group)):
        mine = rule.of(labels)
        track = _track(mine, history, group, labels)
        walk = _walk(mine, history.grid, track)
        played.append(_Played(group, labels, walk, _bands(history.grid, track, walk)))
    return played


@dataclass(frozen=True, slots=True)
class _Track:
    """One group's measurements at every tick, and the ticks at which what they say changes."""

    labels: Mapping[str, str]
    present: Flags
    measured: tuple[tuple[Numbers, ...], ...]
    values: tuple[Numbers, ...]
    changes: list[int]


def _track(rule: Rule, history: History, group: Group, labels: Mapping[str, str]) -> _Track:
    length = len(history.grid)
    parts = [
        [dense(condition, points.get(group), length) for points in series]
        for condition, series in zip(rule.conditions, history.series, strict=True)
    ]
    measured = tuple(tuple(d.values for d in part) for part in parts)
    values = tuple(compared_all(c, m) for c, m in zip(rule.conditions, measured, strict=True))
    seen = np.any([d.present for part in parts for d in part], axis=0) if rule.group_by else np.ones(length, dtype=bool)
    return _Track(labels, seen, measured, values, _changes(rule, seen, values))


def _changes(rule: Rule, seen: Flags, values: Sequence[Numbers]) -> list[int]:
    """Ticks that say something else than the one before, and a group's last before it vanishes: its value is shown."""
    said = [codes(c, v) for c, v in zip(rule.conditions, values, strict=True)]
    meant = composed(rule, said)
    changed = (seen[1:] != seen[:-1]) | (meant[1:] != meant[:-1])
    last = np.flatnonzero(seen[:-1] & ~seen[1:])
    ticks: list[int] = np.union1d(np.flatnonzero(changed) + 1, last).tolist()
    return ticks


def _walk(rule: Rule, grid: Grid, track: _Track) -> list[Transition]:
    transitions: list[Transition] = []
    instance: Instance | None = None
    tick, length = 0, len(grid)
    while tick < length:
        made = step(rule, instance, _truth(rule, track, tick, instance), grid.at(tick))
        if made.transition is not None:
            transitions.append(made.transition)
        settled = _control(made.instance) == _control(instance)
        tick = _next_tick(rule, grid, track, tick, made.instance) if settled else tick + 1
        instance = made.instance
    return transitions


def _truth(rule: Rule, track: _Track, tick: int, instance: Instance | None) -> GroupTruth | None:
    if not track.present[tick]:
        return None
    measured = [tuple(number(values[tick]) for values in part) for part in track.measured]
    held = instance.held if instance else frozenset()
    return truth_of(rule, track.labels, measured, [""] * len(measured), held)


def _control(instance: Instance | None) -> tuple[object, ...] | None:
    """What the next step depends on: all but what is only shown."""
    if instance is None:
        return None
    timers = instance.active_since, instance.recovering_since
    return instance.state, instance.reason, *timers, instance.missing_evaluations, instance.held


def _next_tick(rule: Rule, grid: Grid, track: _Track, tick: int, instance: Instance | None) -> int:
    position = bisect_right(track.changes, tick)
    change = track.changes[position] if position < len(track.changes) else len(grid)
    due = _due(rule, instance)
    return min(change, grid.tick(due)) if due is not None and due > grid.at(tick) else change


def _due(rule: Rule, instance: Instance | None) -> datetime | None:
    """When a timer of the instance runs out."""
    if instance is None:
        return None
    if instance.state is State.PENDING and instance.active_since is not None:
        return instance.active_since + rule.for_
    if instance.state is State.RECOVERING and instance.recovering_since is not None:
        return instance.recovering_since + rule.keep_firing_for
    return None


def _bands(grid: Grid, track: _Track, walk: Sequence[Transition]) -> list[Band]:
    if not track.present.any():
        return []
    first = grid.at(int(np.argmax(track.present)))
    edges = [first, *(t.at for t in walk), max(grid.end, first)]
    states = [State.NORMAL, *(t.after for t in walk)]
    spans = zip(states, edges, edges[1:], strict=False)
    return [Band(track.labels, state, start, end) for state, start, end in spans if start < end]


def _charted(played: Sequence[_Played]) -> list[Group]:
    return list(dict.fromkeys(one.group for one in sorted(played, key=lambda one: -one.firing_s)))[:CHARTED_GROUPS]


def _values(rule: Rule, history: History, groups: Sequence[Group]) -> pl.DataFrame:
    times = history.grid.times()
    frames = [
        pl.DataFrame({"time": times, "value": values}, nan_to_null=True)
        .filter(pl.Series(track.present))
        .select(
            "time",
            pl.lit(group_key(track.labels)).alias("group"),
            pl.lit(path).alias("condition"),
            "value",
            pl.lit(condition.value).alias("threshold"),
        )
        for track in (_track(rule, history, group, labels_of(rule, group)) for group in groups)
        for (path, condition), values in zip(rule.placed, track.values, strict=True)
    ]
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
