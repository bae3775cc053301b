"""What a scenario leads to: the state of each group over time, and who was told what or why not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

from engine.state import State

Labels = tuple[tuple[str, str], ...]


class Told(NamedTuple):
    """One notice, or the reason for a silence, so long after the start; a digest is about no group."""

    at: timedelta
    labels: Labels
    channel: str
    reason: str


@dataclass(slots=True)
class Course:
    """`states` are those entered, or still held, by group; each with when, oldest first."""

    states: dict[Labels, list[tuple[timedelta, State]]] = field(default_factory=dict)
    notices: list[Told] = field(default_factory=list)

    def state(self, labels: Mapping[str, str], at: timedelta) -> State:
        """The state of a group so long after the start; normal where nothing is known of it."""
        entered = self.states.get(tuple(sorted(labels.items())), [])
        return next((state for since, state in reversed(entered) if since <= at), State.NORMAL)
