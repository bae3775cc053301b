"""One group's way through the states of a rule: `engine.state.step` at the ticks where it can change anything.

In between, evaluating again would change nothing: the rule says the same, and no timer is due.
"""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime

from engine.history import Grid
from engine.rule import Rule
from engine.state import Instance, State, Transition, step
from engine.track import Track

_NONE: frozenset[int] = frozenset()


def walk(rule: Rule, grid: Grid, track: Track) -> list[Transition]:
    """Every change of state, in order."""
    transitions: list[Transition] = []
    instance: Instance | None = None
    tick, length = 0, len(grid)
    while tick < length:
        verdict = track.verdict(tick, instance.held if instance else _NONE)
        made = step(rule, instance, verdict, grid.at(tick))
        if made.transition is not None:
            transitions.append(made.transition)
        # but for what may be held and an absence that is counted, a second step with the same verdict changes nothing
        settled = (verdict is not None and not rule.recovering) or _control(made.instance) == _control(instance)
        tick = _next_tick(rule, grid, track.changes, tick, made.instance) if settled else tick + 1
        instance = made.instance
    return transitions


def _control(instance: Instance | None) -> tuple[object, ...] | None:
    """What the next step depends on: all but what is only shown."""
    if instance is None:
        return None
    timers = instance.active_since, instance.recovering_since
    return instance.state, instance.reason, *timers, instance.missing_evaluations, instance.held


def _next_tick(rule: Rule, grid: Grid, changes: Sequence[int], tick: int, instance: Instance | None) -> int:
    position = bisect_right(changes, tick)
    change = changes[position] if position < len(changes) else len(grid)
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
