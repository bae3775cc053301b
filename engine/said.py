"""What a replay says that channels would have been told."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from engine.notify import Reason


@dataclass(frozen=True, slots=True)
class SimulatedNotice:
    """What a channel would have been told about a group's incident, or why not. `alert` counts them per group.

    `held` is what a silent one keeps back, to be told with others; it was at `told_at`.
    """

    time: datetime
    labels: Mapping[str, str]
    alert: int
    channel: str
    reason: Reason
    held: Reason | None = None
    told_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Digest:
    """One notice to a channel of what was held back from it: how many notices, of how many incidents."""

    time: datetime
    channel: str
    notices: int
    incidents: int
    summary: str


@dataclass(frozen=True, slots=True)
class Message:
    """One thing that arrives at a channel: a notice, many in one, or a digest."""

    time: datetime
    channel: str
    digest: bool


@dataclass(frozen=True, slots=True)
class Said:
    """All that channels would have been told, each oldest first; `held` is how much was held back still at the end."""

    notices: tuple[SimulatedNotice, ...] = ()
    digests: tuple[Digest, ...] = ()
    messages: tuple[Message, ...] = ()
    held: int = 0
