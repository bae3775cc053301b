"""What one step of a rule's instances leaves behind: rows of instances, incidents, events and notifications.

Everything here is decided from what was read; `data.queries.alerts.committing` writes it, all or nothing.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import orjson
from msgspec import structs

from data.queries.alerts import ACKNOWLEDGED, FIRING, RESOLVED, Changes
from data.queries.notifications import PENDING, SILENT, NotificationRow
from engine import flapping, instances, notify, outbox, wording
from engine.audit import new_id
from engine.bundle import Line, bundled
from engine.inhibition import Inhibitors, Subject
from engine.notice import Notice, NoticeStatus, links
from engine.rule import Rule
from engine.silences import RULE, RULE_ID, SEVERITY, Silence
from engine.state import Instance, Reason, State, Step, Transition
from engine.telling import Told, Verdict, verdicts
from engine.terms import Terms
from engine.truth import GroupTruth

#: Reasons a stored notification may have besides those of `engine.notify`.
FALLBACK, TEST = "fallback", "test"


@dataclass(frozen=True, slots=True)
class Watched:
    """A stored rule, ready to evaluate."""

    id: str
    version: int
    rule: Rule


@dataclass(frozen=True, slots=True)
class Incident:
    """An open incident as it was read."""

    id: str
    status: str
    opened_at: datetime
    acknowledged_until: datetime | None = None

    @property
    def acknowledged(self) -> bool:
        """Whether somebody has taken it on."""
        return self.status == ACKNOWLEDGED


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything besides the steps that their consequences depend on, as read just before."""

    incidents: Mapping[str, Incident] = field(default_factory=dict)  # by id
    told: Sequence[Told] = ()  # oldest first
    opens: Mapping[str, tuple[datetime, ...]] = field(default_factory=dict)  # of late, by group key
    silences: tuple[Silence, ...] = ()
    inhibitors: Inhibitors = field(default_factory=Inhibitors)
    terms: Terms = field(default_factory=Terms)
    public_url: str = ""
    #: who ended it by hand, '' for nobody
    by: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """One group's step: the stored instance, what it becomes, and the evaluation behind it if there was one."""

    key: str
    stored: Instance | None
    step: Step
    truth: GroupTruth | None = None


def changes(watched: Watched, moves: Sequence[Move], situation: Situation, at: datetime) -> Changes:
    """The rows that the moves leave behind, with the notices that are due at `at`, sent or kept silent."""
    told = _by_group(situation.told)
    made = [_one(watched, move, situation, told.get(move.key, ()), at) for move in moves]
    parts, lines = [part for part, _ in made], [line for _, some in made for line in some]
    return Changes(
        appeared=tuple(row for part in parts for row in part.appeared),
        moved=tuple(row for part in parts for row in part.moved),
        gone=tuple(row for part in parts for row in part.gone),
        opened=tuple(row for part in parts for row in part.opened),
        resolved=tuple(row for part in parts for row in part.resolved),
        events=tuple(row for part in parts for row in part.events),
        notices=tuple(_values(row) for row in bundled(watched.rule, lines, situation.terms.bundling)),
    )


def _by_group(told: Sequence[Told]) -> dict[str, list[Told]]:
    found: dict[str, list[Told]] = defaultdict(list)
    for line in told:
        found[line.group_key].append(line)
    return found


def _one(
    watched: Watched, move: Move, situation: Situation, told: Sequence[Told], at: datetime
) -> tuple[Changes, list[Line]]:
    watched = _of_level(watched, move)
    transition = move.step.transition
    opens, resolves = (transition.opens, transition.resolves) if transition else (False, False)
    stored_id = move.stored.alert_id if move.stored else ""
    alert_id = new_id() if opens else stored_id
    incident = Incident(alert_id, FIRING, at) if opens else situation.incidents.get(alert_id)
    appeared, moved, gone = _instance_rows(watched.id, move, alert_id)
    part = Changes(
        appeared=appeared,
        moved=moved,
        gone=gone,
        opened=(_opened(watched, move, alert_id, situation, at),) if opens else (),
        resolved=(_resolved(incident, situation, at),) if resolves and incident else (),
        events=(_event(watched.id, move.key, transition, alert_id, situation),) if transition else (),
    )
    return part, list(_lines(watched, move, incident, situation, told, at)) if incident else []


def _of_level(watched: Watched, move: Move) -> Watched:
    """The rule as it is for the group's level."""
    if not watched.rule.levels:
        return watched
    return replace(watched, rule=watched.rule.of(_labels(watched.rule, move)))


def _instance_rows(rule_id: str, move: Move, alert_id: str) -> tuple[Any, Any, Any]:
    after, stored = move.step.instance, move.stored
    if after is None:
        return (), (), ((instances.as_read(rule_id, stored),) if stored else ())
    open_id = alert_id if after.alerting else ""
    after = after if after.alert_id == open_id else replace(after, alert_id=open_id)
    if stored is None:
        return (instances.to_row(rule_id, after),), (), ()
    return (), (instances.moved(rule_id, stored, after),), ()


def _opened(watched: Watched, move: Move, alert_id: str, situation: Situation, at: datetime) -> dict[str, Any]:
    seen = wording.measured(watched.rule, move.truth)
    times = _opens(move, situation, at)
    return {
        "id": alert_id,
        "rule_id": watched.id,
        "rule_name": watched.rule.name,
        "severity": watched.rule.severity.value,
        "group_key": move.key,
        "labels": orjson.dumps(_labels(watched.rule, move)).decode(),
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


def _opens(move: Move, situation: Situation, at: datetime) -> tuple[datetime, ...]:
    """When the group began to fire of late, now too if it does."""
    transition = move.step.transition
    return situation.opens.get(move.key, ()) + ((at,) if transition and transition.opens else ())


def _labels(rule: Rule, move: Move) -> dict[str, str]:
    known = move.step.instance or move.stored
    return {**rule.labels, **(known.labels if known else {})}


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


def _lines(  # noqa: PLR0917 - what a decision depends on
    watched: Watched, move: Move, incident: Incident, situation: Situation, told: Sequence[Told], at: datetime
) -> Iterator[Line]:
    """One line a channel that is told now, or that is newly kept quiet, with the reason."""
    after = move.step.instance
    firing = frozenset({move.key}) if after is not None and after.alerting else frozenset()
    subject = Subject(watched.id, move.key, known_by(watched, _labels(watched.rule, move)))
    alert = notify.Alert(
        incident.id,
        firing,
        acknowledged=incident.acknowledged,
        acknowledged_until=incident.acknowledged_until,
        silenced=any(silence.covers(subject.labels) for silence in situation.silences),
        inhibited=situation.inhibitors.of(subject) is not None,
        opens=_opens(move, situation, at),
    )
    for verdict in verdicts(watched.rule, alert, told, at):
        yield _line(watched, move, incident, situation, verdict, at)


def _line(  # noqa: PLR0917 - as above
    watched: Watched, move: Move, incident: Incident, situation: Situation, verdict: Verdict, at: datetime
) -> Line:
    speaks = verdict.reason.notifies
    notice = _notice(watched, move, incident, verdict.reason.value, situation, at)
    if verdict.reason is notify.Reason.FLAPPING:
        count = flapping.recent(watched.rule, _opens(move, situation, at), at)
        notice = structs.replace(notice, summary=wording.flapping(notice.summary, watched.rule, count))
    row = outbox.queued(
        new_id(),
        notice,
        channel=verdict.channel,
        at=at,
        group_key=move.key,
        fallback=[n for n in watched.rule.fallback if n != verdict.channel] if speaks or verdict.held else (),
        status=PENDING if speaks else SILENT,
    )
    return Line(replace(row, held=verdict.held, due_at=verdict.due_at or at), notice)


def known_by(watched: Watched, labels: Mapping[str, str]) -> dict[str, str]:
    """What matchers can name of an incident: its labels, and rule, rule_id and severity."""
    rule = watched.rule.of(labels)
    return {**rule.labels, **labels, RULE: rule.name, RULE_ID: watched.id, SEVERITY: rule.severity.value}


def _values(row: NotificationRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def _notice(  # noqa: PLR0917 - all of it is said
    watched: Watched, move: Move, incident: Incident, reason: str, situation: Situation, at: datetime
) -> Notice:
    rule, after, transition = watched.rule, move.step.instance, move.step.transition
    open_still = after is not None and after.alerting
    status = NoticeStatus.FIRING if open_still else NoticeStatus.RESOLVED
    labels, seen = _labels(rule, move), wording.measured(rule, move.truth)
    text, flaw = wording.message(rule.message, wording.values_of(rule, seen, labels, status.value))
    alert_url, rule_url = links(situation.public_url, alert_id=incident.id, rule_id=watched.id)
    ended = transition.reason.value if transition and not open_still else ""
    return Notice(
        title=rule.name,
        status=status,
        severity=rule.severity.value,
        at=at,
        reason=reason,
        summary=wording.summary(seen, ended=ended, by="" if open_still else situation.by),
        message=text,
        alert_id=incident.id,
        rule_id=watched.id,
        rule_name=rule.name,
        labels=labels,
        metric=seen.metric,
        unit=seen.unit,
        value=seen.value,
        threshold=seen.threshold,
        opened_at=incident.opened_at,
        resolved_at=None if open_still else at,
        runbook=rule.runbook,
        alert_url=alert_url,
        rule_url=rule_url,
        flaw=flaw,
    )


def memory(rules: Sequence[Rule]) -> timedelta:
    """How far back the log of notices matters to these rules, and a little more."""
    return max(map(notify.memory, rules), default=timedelta(0)) + timedelta(minutes=5)


def sample(watched: Watched, truth: GroupTruth | None, at: datetime, public_url: str = "") -> Notice:
    """A rule's real message, marked as a test, for trying a channel."""
    labels = truth.labels if truth else {}
    firing = Instance(labels, State.FIRING, Reason.CONDITION, since=at, evaluated_at=at, active_since=at)
    move = Move("", None, Step(firing, None), truth)
    made = _notice(watched, move, Incident("", FIRING, at), TEST, Situation(public_url=public_url), at)
    return structs.replace(made, test=True, alert_url="")
