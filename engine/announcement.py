"""What channels are told of one group's step: a line for each that is told now, or that is newly kept quiet."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import orjson
from msgspec import structs

from data.queries.alerts import FIRING
from data.queries.notifications import PENDING, SILENT, TEST
from engine import flapping, notify, outbox, wording
from engine.audit import new_id
from engine.bundle import NAMED, Line, named
from engine.inhibition import Subject
from engine.levels import LEVEL
from engine.move import Incident, Move, Situation, Watched
from engine.notice import Member, Notice, NoticeStatus, beside, links
from engine.rule import Rule
from engine.silences import RULE, RULE_ID, SEVERITY
from engine.state import Instance, Reason, State, Step
from engine.telling import Told, Verdict, verdicts
from engine.truth import GroupTruth


def lines(  # noqa: PLR0917 - what a decision depends on
    watched: Watched, move: Move, incident: Incident, situation: Situation, told: Sequence[Told], at: datetime
) -> Iterator[Line]:
    """One line a channel that is told now, or that is newly kept quiet, with the reason."""
    firing = frozenset({move.key}) if move.alerting else frozenset()
    subject = Subject(watched.id, move.key, known_by(watched, move.labels(watched.rule)))
    alert = notify.Alert(
        incident.id,
        firing,
        acknowledged=incident.acknowledged,
        acknowledged_until=incident.acknowledged_until,
        silenced=any(silence.covers(subject.labels) for silence in situation.silences),
        inhibited=situation.inhibitors.of(subject) is not None,
        opens=move.opens(situation, at),
    )
    whole, reachable = situation.whole(incident.id), partial(situation.reaches, incident.id)
    made = list(verdicts(watched.rule, alert, told, at, situation.company, move.key, whole, reachable))
    themselves = {one.channel for one in made if one.reason.notifies or one.held}
    stand_ins = [name for name in watched.rule.fallback if name not in themselves]
    for verdict in made:
        yield _line(watched, move, incident, situation, verdict, stand_ins, at)


def _line(  # noqa: PLR0917 - as above
    watched: Watched,
    move: Move,
    incident: Incident,
    situation: Situation,
    verdict: Verdict,
    stand_ins: Sequence[str],
    at: datetime,
) -> Line:
    speaks = verdict.reason.notifies
    notice = _notice(watched, move, incident, verdict.reason.value, situation, at)
    if verdict.reason is notify.Reason.FLAPPING:
        count = flapping.recent(watched.rule, move.opens(situation, at), at)
        notice = structs.replace(notice, summary=wording.flapping(notice.summary, watched.rule, count))
    notice = beside(notice, _others(watched.rule, move, situation, verdict))
    row = outbox.queued(
        new_id(),
        notice,
        channel=verdict.channel,
        at=at,
        group_key=move.key,
        fallback=stand_ins if speaks or verdict.held else (),
        status=PENDING if speaks else SILENT,
    )
    return Line(replace(row, held=verdict.held, due_at=verdict.due_at or at), notice)


def _others(rule: Rule, move: Move, situation: Situation, verdict: Verdict) -> str:
    """How it stands with the rule's other groups that the channel was told of."""
    level = move.labels(rule).get(LEVEL, "")
    if verdict.reason in {notify.Reason.NEW_GROUPS, notify.Reason.SOME_RESOLVED}:
        keys = situation.company.others(verdict.channel, move.key)
        labels = ({n: v for n, v in orjson.loads(key).items() if n != LEVEL} for key in keys[:NAMED])
        return wording.others(len(keys), named([Member(alert_id="", labels=each).name for each in labels], len(keys)))
    if verdict.reason is notify.Reason.RESOLVED and rule.group_by and verdict.channel in situation.terms.whole:
        return wording.all_over(level)
    return ""


def known_by(watched: Watched, labels: Mapping[str, str]) -> dict[str, str]:
    """What matchers can name of an incident: its labels, and rule, rule_id and severity."""
    rule = watched.rule.of(labels)
    return {**rule.labels, **labels, RULE: rule.name, RULE_ID: watched.id, SEVERITY: rule.severity.value}


def _notice(  # noqa: PLR0917 - all of it is said
    watched: Watched, move: Move, incident: Incident, reason: str, situation: Situation, at: datetime
) -> Notice:
    rule, transition, open_still = watched.rule, move.step.transition, move.alerting
    status = NoticeStatus.FIRING if open_still else NoticeStatus.RESOLVED
    labels, seen = move.labels(rule), wording.measured(rule, move.truth)
    text, flaw = wording.message(rule.message, wording.values_of(rule, seen, labels, status.value))
    alert_url, rule_url = links(situation.public_url, alert_id=incident.id, rule_id=watched.id)
    ended = transition.reason.value if transition and not open_still else ""
    made = Notice(
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
    return made if watched.readable else structs.replace(made, metric="", unit="", threshold=None)


def sample(watched: Watched, truth: GroupTruth | None, at: datetime, public_url: str = "") -> Notice:
    """A rule's real message, marked as a test, for trying a channel."""
    labels = truth.labels if truth else {}
    firing = Instance(labels, State.FIRING, Reason.CONDITION, since=at, evaluated_at=at, active_since=at)
    move = Move("", None, Step(firing, None), truth)
    made = _notice(watched, move, Incident("", FIRING, at), TEST, Situation(public_url=public_url), at)
    return structs.replace(made, test=True, alert_url="")
