"""What one step of a rule's instances leaves behind: rows of instances, incidents, events and notifications.

Everything here is decided from what was read; `data.queries.alerts.committing` writes it, all or nothing.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import orjson
from msgspec import structs

from data.queries.alerts import FIRING, RESOLVED, Changes
from data.queries.notifications import NotificationRow
from engine import flapping, instances, notify, wording
from engine.announcement import known_by, lines, sample
from engine.audit import new_id
from engine.bundle import Line, bundled
from engine.move import Incident, Move, Situation, Watched
from engine.rule import Rule
from engine.state import Transition
from engine.telling import Told, company

__all__ = [
    "Incident",
    "Move",
    "Situation",
    "Watched",
    "changes",
    "known_by",
    "memory",
    "sample",
]

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Rows:
    """What the moves leave behind, one after the other."""

    appeared: list[Row] = field(default_factory=list)
    moved: list[Row] = field(default_factory=list)
    gone: list[Row] = field(default_factory=list)
    opened: list[Row] = field(default_factory=list)
    resolved: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)


def changes(watched: Watched, moves: Sequence[Move], situation: Situation, at: datetime) -> Changes:
    """The rows that the moves leave behind, with the notices that are due at `at`, sent or kept silent."""
    told, rows = _by_group(situation.told), _Rows()
    if situation.told and watched.rule.group_by:
        situation = _accompanied(watched, moves, situation)
    for move in moves:
        if _is_quiet(move):
            _place_instance(rows, watched.id, move, "")
        else:
            _place(rows, _of_level(watched, move), move, situation, told.get(move.key, ()), at)
    return Changes(
        appeared=tuple(rows.appeared),
        moved=tuple(rows.moved),
        gone=tuple(rows.gone),
        opened=tuple(rows.opened),
        resolved=tuple(rows.resolved),
        events=tuple(rows.events),
        notices=tuple(_values(row) for row in bundled(watched.rule, rows.lines, situation.terms.bundling)),
    )


def _is_quiet(move: Move) -> bool:
    """Whether it is about no incident and no change of state, as nearly all are."""
    return move.step.transition is None and not move.alerting and not (move.stored and move.stored.alert_id)


def _accompanied(watched: Watched, moves: Sequence[Move], situation: Situation) -> Situation:
    """The situation with the groups that channels were told of and that fire still after the moves."""
    over = {move.stored.alert_id for move in moves if move.stored and _is_over(move)}
    return replace(situation, company=company(watched.rule, situation.told, situation.incidents.keys() - over))


def _is_over(move: Move) -> bool:
    transition = move.step.transition
    return transition is not None and transition.resolves


def _by_group(told: Sequence[Told]) -> dict[str, list[Told]]:
    found: dict[str, list[Told]] = defaultdict(list)
    for line in told:
        found[line.group_key].append(line)
    return found


def _place(  # noqa: PLR0917 - what the consequences depend on
    rows: _Rows, watched: Watched, move: Move, situation: Situation, told: Sequence[Told], at: datetime
) -> None:
    transition = move.step.transition
    opens, resolves = (transition.opens, transition.resolves) if transition else (False, False)
    alert_id = new_id() if opens else (move.stored.alert_id if move.stored else "")
    incident = Incident(alert_id, FIRING, at) if opens else situation.incidents.get(alert_id)
    _place_instance(rows, watched.id, move, alert_id)
    if opens:
        rows.opened.append(_opened(watched, move, alert_id, situation, at))
    if resolves and incident:
        rows.resolved.append(_resolved(incident, situation, at))
    if transition:
        rows.events.append(_event(watched.id, move.key, transition, alert_id, situation))
    if incident:
        rows.lines.extend(lines(watched, move, incident, situation, told, at))


def _of_level(watched: Watched, move: Move) -> Watched:
    """The rule as it is for the group's level."""
    if not watched.rule.levels:
        return watched
    return replace(watched, rule=watched.rule.of(move.labels(watched.rule)))


def _place_instance(rows: _Rows, rule_id: str, move: Move, alert_id: str) -> None:
    after, stored = move.step.instance, move.stored
    if after is None:
        rows.gone.extend([instances.as_read(rule_id, move.key, stored)] if stored else [])
        return
    open_id = alert_id if after.alerting else ""
    after = after if after.alert_id == open_id else structs.replace(after, alert_id=open_id)
    if stored is None:
        rows.appeared.append(instances.to_row(rule_id, after, move.key))
    else:
        rows.moved.append(instances.moved(rule_id, stored, after, move.key))


def _opened(watched: Watched, move: Move, alert_id: str, situation: Situation, at: datetime) -> dict[str, Any]:
    seen = wording.measured(watched.rule, move.truth)
    times = move.opens(situation, at)
    return {
        "id": alert_id,
        "rule_id": watched.id,
        "rule_name": watched.rule.name,
        "severity": watched.rule.severity.value,
        "group_key": move.key,
        "labels": orjson.dumps(move.labels(watched.rule)).decode(),
        "status": FIRING,
        "summary": wording.summary(seen),
        "value": seen.value,
        "threshold": seen.threshold,
        "opened_at": at,
        "acknowledged_at": None,
        "acknowledged_by": "",
        "resolved_at": None,
        "resolved_by": "",
        "comment": "",
        "acknowledged_until": None,
        "openings": max(flapping.recent(watched.rule, times, at), 1),
        "flapping": flapping.flaps(watched.rule, times, at),
    }


def _resolved(incident: Incident, situation: Situation, at: datetime) -> dict[str, Any]:
    row = {
        "id": incident.id,
        "status": RESOLVED,
        "was_status": incident.status,
        "resolved_at": max(at, incident.opened_at),
        "resolved_by": situation.by,
    }
    return {**row, "comment": situation.comment} if situation.comment else row


def _event(rule_id: str, key: str, transition: Transition, alert_id: str, situation: Situation) -> dict[str, Any]:
    return {
        "id": new_id(),
        "at": transition.at,
        "rule_id": rule_id,
        "group_key": key,
        "alert_id": alert_id,
        "from_state": transition.before.value,
        "to_state": transition.after.value,
        "reason": "by_hand" if situation.by else transition.reason.value,
        "value": transition.value,
        "threshold": transition.threshold,
    }


def _values(row: NotificationRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def memory(rules: Sequence[Rule]) -> timedelta:
    """How far back the log of notices matters to these rules, and a little more."""
    return max(map(notify.memory, rules), default=timedelta(0)) + timedelta(minutes=5)
