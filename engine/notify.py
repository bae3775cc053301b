"""Whether a channel is told about an incident now, and why: one decision, with a named reason also for silence.

The reasons to speak are tried in order; each is held back for the first cause of silence that applies, and the first
that nothing holds back wins. The end of something a channel was told about is held back by nothing but a rate limit,
and by flapping until it is steady: whoever was woken is also told that it is over. An incident is one group of its
rule; where the channel was told of others that fire still, it began, or ended, beside these.
"""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from engine.flapping import flaps, steady_at
from engine.rule import Rule

#: What flaps for longer than this is told of again.
FLAPPING_AGAIN = timedelta(days=1)


class Reason(StrEnum):
    """Why a channel is told, or why not."""

    FIRST = "first"
    FLAPPING = "flapping"
    NEW_GROUPS = "new_groups"
    RESOLVED = "resolved"
    SOME_RESOLVED = "some_resolved"
    REPEAT = "repeat"
    ESCALATION = "escalation"
    COOLDOWN = "cooldown"
    SILENCED = "silenced"
    INHIBITED = "inhibited"
    INACTIVE_HOURS = "inactive_hours"
    ACKNOWLEDGED = "acknowledged"
    STILL_FLAPPING = "still_flapping"
    OTHERS_FIRE = "others_fire"
    RATE_LIMITED = "rate_limited"
    NOTHING_NEW = "nothing_new"

    @property
    def notifies(self) -> bool:
        """Whether something is sent."""
        return self in SPOKEN

    @property
    def closes(self) -> bool:
        """Whether it tells of an end."""
        return self in (Reason.RESOLVED, Reason.SOME_RESOLVED)


#: The reasons to send, in the order they are tried.
SPOKEN: tuple[Reason, ...] = (
    Reason.FIRST,
    Reason.FLAPPING,
    Reason.NEW_GROUPS,
    Reason.RESOLVED,
    Reason.SOME_RESOLVED,
    Reason.REPEAT,
    Reason.ESCALATION,
)

#: What ends, or is outweighed by another of them, without notice.
_PASSING = frozenset(
    {
        Reason.INACTIVE_HOURS,
        Reason.SILENCED,
        Reason.INHIBITED,
        Reason.RATE_LIMITED,
        Reason.ACKNOWLEDGED,
        Reason.STILL_FLAPPING,
    }
)
_BEGINS = frozenset({Reason.FIRST, Reason.NEW_GROUPS})


@dataclass(frozen=True, slots=True)
class Alert:
    """An incident as a decision sees it: `firing` has the key of its group while it is open, and is empty afterwards.

    `acknowledged_until` without an end means until it resolves. `silenced`: a silence matches it now, `inhibited`: so
    does an incident that keeps others quiet. `told_at` is when the first of all channels heard of it, `opens` are when
    its group began to fire of late, this time too.
    """

    id: str
    firing: frozenset[str]
    acknowledged: bool = False
    acknowledged_until: datetime | None = None
    silenced: bool = False
    inhibited: bool = False
    told_at: datetime | None = None
    opens: tuple[datetime, ...] = ()

    def acknowledged_at(self, now: datetime) -> bool:
        """Whether somebody has taken it on, and that still holds."""
        return self.acknowledged and (self.acknowledged_until is None or now < self.acknowledged_until)


@dataclass(frozen=True, slots=True)
class Sent:
    """One notice that went to a channel: about which incident, why, and which groups it called firing."""

    at: datetime
    alert_id: str
    reason: Reason
    firing: frozenset[str]


@dataclass(frozen=True, slots=True)
class Listener:
    """What of a channel matters to a decision.

    Is it told of an end while others fire that it was told of, and is its rate limit used up now; is it told from the
    first (`named`), and how long after the first notice do the steps of the escalation that name it come.
    """

    partial_ends: bool = True
    limited: bool = False
    named: bool = True
    steps: tuple[timedelta, ...] = ()


_PLAIN = Listener()
_NEVER = timedelta(0)


def decide(  # noqa: PLR0917 - what a decision depends on
    rule: Rule,
    log: Sequence[Sent],
    alert: Alert,
    now: datetime,
    listener: Listener = _PLAIN,
    beside: int = 0,
) -> Reason:
    """Why this channel is told about this incident now, or why not.

    `log` holds what this channel was sent about this group, of this and earlier incidents, oldest first; of so many
    others of the rule (`beside`) it was told that fire still.
    """
    mine = [sent for sent in log if sent.alert_id == alert.id]
    outcomes = [
        next(_silences(rule, log, mine, alert, now, limited=listener.limited, reason=reason), reason)
        for reason in _occasions(rule, mine, alert, now, listener, beside)
    ]
    return next((reason for reason in outcomes if reason.notifies), outcomes[0] if outcomes else Reason.NOTHING_NEW)


def occasion(  # noqa: PLR0917 - as in `decide`
    rule: Rule, log: Sequence[Sent], alert: Alert, now: datetime, listener: Listener = _PLAIN, beside: int = 0
) -> Reason | None:
    """What there is to tell now, whether or not it may be told; None: nothing."""
    mine = [sent for sent in log if sent.alert_id == alert.id]
    return next(_occasions(rule, mine, alert, now, listener, beside), None)


def memory(rule: Rule) -> timedelta:
    """How far back what was sent of earlier incidents matters to a decision."""
    return max(rule.cooldown, rule.repeat, FLAPPING_AGAIN if rule.flapping else _NEVER)


def quiet_until(rule: Rule, log: Sequence[Sent]) -> datetime | None:
    """When the quiet time after the last notice of something that fires is over; None without such a notice."""
    return max((sent.at + rule.cooldown for sent in log if not sent.reason.closes), default=None)


def listeners(rule: Rule, whole: Container[str] = ()) -> dict[str, Listener]:
    """Every channel that the rule may tell, with what the rule says of it; those in `whole` want no partial ends."""
    steps: dict[str, tuple[timedelta, ...]] = dict.fromkeys(rule.notify, ())
    for step in rule.escalate:
        steps |= {channel: (*steps.get(channel, ()), step.after) for channel in step.notify}
    return {
        channel: Listener(partial_ends=channel not in whole, named=channel in rule.notify, steps=after)
        for channel, after in steps.items()
    }


def next_look(  # noqa: PLR0917 - as in `decide`
    rule: Rule,
    log: Sequence[Sent],
    decided: Reason,
    now: datetime,
    alert: Alert | None = None,
    listener: Listener = _PLAIN,
) -> datetime | None:
    """When a decision can next come out otherwise although the incident has not changed; None: never.

    The earliest instant that may matter, and `now` itself where a look at every evaluation is needed. `alert` with
    `told_at` as it is after the decision.
    """
    if decided in _PASSING:
        return now
    spans = [span for span in (rule.repeat, rule.cooldown) if span > _NEVER]
    told_at = alert.told_at if alert else None
    steps = [told_at + after for after in listener.steps] if told_at else []
    steady = steady_at(rule, alert.opens, now) if alert else None
    steps += [steady] if steady else []
    return min((at for at in (*steps, *(sent.at + span for sent in log for span in spans)) if at > now), default=None)


def _occasions(  # noqa: PLR0917 - as in `decide`
    rule: Rule, mine: Sequence[Sent], alert: Alert, now: datetime, listener: Listener, beside: int
) -> Iterator[Reason]:
    told = mine[-1].firing if mine else frozenset()
    if not mine and alert.firing and listener.named:
        yield Reason.FLAPPING if flaps(rule, alert.opens, now) else _beginning(beside)
    if told and not alert.firing:
        yield _end(listener, beside)
    if mine and alert.firing and rule.repeat > _NEVER and now - mine[-1].at >= rule.repeat:
        yield Reason.REPEAT
    if alert.firing and _escalates(mine, alert, now, listener):
        yield Reason.ESCALATION


def _beginning(beside: int) -> Reason:
    return Reason.NEW_GROUPS if beside else Reason.FIRST


def _end(listener: Listener, beside: int) -> Reason:
    """What an end is to a channel that hears of several: it may want to hear only once all of them are over."""
    if not beside:
        return Reason.RESOLVED
    return Reason.SOME_RESOLVED if listener.partial_ends else Reason.OTHERS_FIRE


def _escalates(mine: Sequence[Sent], alert: Alert, now: datetime, listener: Listener) -> bool:
    """Whether a step is due since which the channel has heard nothing; of several, the last stands for all."""
    due = [alert.told_at + after for after in listener.steps] if alert.told_at else []
    last = max((at for at in due if at <= now), default=None)
    return last is not None and not any(sent.at >= last for sent in mine if not sent.reason.closes)


def _silences(
    rule: Rule,
    log: Sequence[Sent],
    mine: Sequence[Sent],
    alert: Alert,
    now: datetime,
    *,
    limited: bool,
    reason: Reason,
) -> Iterator[Reason]:
    if not reason.notifies:
        return  # a silence already
    if not reason.closes:
        if reason is not Reason.ESCALATION and _cooling(rule, log, alert.firing, now):
            yield Reason.COOLDOWN
        if alert.silenced:
            yield Reason.SILENCED
        if alert.inhibited:
            yield Reason.INHIBITED
        if rule.active is not None and not rule.active.covers(now):
            yield Reason.INACTIVE_HOURS
        if reason in {Reason.REPEAT, Reason.ESCALATION} and alert.acknowledged_at(now):
            yield Reason.ACKNOWLEDGED
    if _still_flapping(rule, log, mine, alert, now, reason):
        yield Reason.STILL_FLAPPING
    if limited:
        yield Reason.RATE_LIMITED


def _still_flapping(  # noqa: PLR0917 - as in `decide`
    rule: Rule, log: Sequence[Sent], mine: Sequence[Sent], alert: Alert, now: datetime, reason: Reason
) -> bool:
    """Whether the channel knows already that it flaps: then neither this end nor another beginning is news."""
    if reason is Reason.FLAPPING:
        return _knows_it_flaps(log, alert, now)
    ends_what_flaps = reason.closes and any(sent.reason is Reason.FLAPPING for sent in mine)
    return ends_what_flaps and flaps(rule, alert.opens, now)


def _knows_it_flaps(log: Sequence[Sent], alert: Alert, now: datetime) -> bool:
    """Whether the last that was told of these groups was that they flap; after a day it is told again."""
    flapping = ""
    for sent in log:
        about = bool(sent.firing & alert.firing)
        if about and sent.reason is Reason.FLAPPING:
            flapping = sent.alert_id if now - sent.at < FLAPPING_AGAIN else ""
        elif (about and sent.reason in _BEGINS) or (sent.alert_id == flapping and sent.reason.closes):
            flapping = ""
    return bool(flapping)


def _cooling(rule: Rule, log: Sequence[Sent], groups: frozenset[str], now: datetime) -> bool:
    """Whether the group was notified as firing less than the cooldown ago."""
    recent = (s.firing for s in log if not s.reason.closes and now - s.at < rule.cooldown)
    return rule.cooldown > _NEVER and groups <= frozenset().union(*recent)
