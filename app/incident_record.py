"""What an incident's own record holds: the states it went through and the notices that went out, and when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from data.queries.notifications import BUNDLED, SENT
from engine.incidents import Detail
from engine.simulate import Band
from engine.state import State


@dataclass(frozen=True, slots=True)
class Mark:
    """A notice that went out: when, and to whom and why in words."""

    at: datetime
    told: str


@dataclass(frozen=True, slots=True)
class Record:
    """States and notices between the incident's opening and its end (or now)."""

    bands: tuple[Band, ...]
    marks: tuple[Mark, ...]


def record(detail: Detail, now: datetime) -> Record:
    """What happened, as it was stored; nothing before the incident opened or after it ended."""
    opened, labels = detail.alert["opened_at"], detail.alert["labels"]
    until = max(detail.alert["resolved_at"] or now, opened)
    bands = tuple(Band(labels, state, start, end) for state, start, end in _states(detail.events, opened, until))
    marks = [_mark(row) for row in detail.notifications if row["status"] in {SENT, BUNDLED}]
    return Record(bands, tuple(sorted(marks, key=lambda mark: mark.at)))


def _mark(row: Mapping[str, Any]) -> Mark:
    why = (row.get("held") or row["reason"]).replace("_", " ")
    return Mark(row["finished_at"] or row["created_at"], f"{row['channel']}: {why}")


def _states(
    events: Sequence[Mapping[str, Any]], opened: datetime, until: datetime
) -> list[tuple[State, datetime, datetime]]:
    """Each state from its transition to the next one; an incident fires from the instant it opens."""
    moves = [(opened, State.FIRING), *((event["at"], State(event["to_state"])) for event in events)]
    moves = [(max(at, opened), state) for at, state in moves]
    ends = [after for _, (after, _) in pairwise(moves)] + [until]
    return [(state, at, min(end, until)) for (at, state), end in zip(moves, ends, strict=True) if at < min(end, until)]
