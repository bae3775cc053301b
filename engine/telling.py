"""Which channels are told what of an incident at one instant, from what they were told before. Pure."""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from engine.company import Company
from engine.flapping import steady_at
from engine.notify import SPOKEN, Alert, Listener, Reason, Sent, decide, listeners, occasion, quiet_until
from engine.rule import Rule

_OF_WHAT_FIRES = frozenset(reason for reason in SPOKEN if not reason.closes)
_BEGINNINGS = frozenset({Reason.FIRST, Reason.FLAPPING, Reason.NEW_GROUPS})


@dataclass(frozen=True, slots=True)
class Told:
    """One line of what a channel was told of a rule, or of what it was not (`silent`).

    `held` is what a silent line kept back, to be told later.
    """

    alert_id: str
    group_key: str
    channel: str
    reason: str
    at: datetime
    silent: bool
    held: str = ""

    @property
    def waits(self) -> bool:
        """Whether it is on its way in the next digest, which nothing else about its incident may overtake."""
        return self.silent and bool(self.held) and self.reason == Reason.RATE_LIMITED


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a channel is told, or that it is newly kept quiet; `held` is what is told later instead."""

    channel: str
    reason: Reason
    held: str = ""
    #: not before this is what is held back told
    due_at: datetime | None = None


@dataclass(slots=True)
class Heard:
    """What a channel knows of a group before a decision.

    `log` is what it was sent, `last` the reason of the last line about this incident, a silent one too; `waits`:
    something about this incident is on its way in a digest. It was told of `beside` other groups that fire still.
    """

    log: list[Sent]
    last: str = ""
    waits: bool = False
    beside: int = 0


def verdicts(  # noqa: PLR0917 - what a decision depends on
    rule: Rule,
    alert: Alert,
    told: Sequence[Told],
    at: datetime,
    company: Company,
    key: str,
    whole: Container[str],
    reachable: Callable[[str], bool],
) -> Iterator[Verdict]:
    """A verdict for each channel that is told now, or that is newly kept quiet, with the reason.

    `told` are the lines about this group (`key`), of this and earlier incidents, oldest first; what was sent for a
    reason that is none of a decision's does not count. `whole` are the channels that want no partial ends; one that the
    rule names no more, but that was told of the incident, still hears of its end where it is `reachable`.
    """
    started = min((line.at for line in told if line.alert_id == alert.id and not line.silent), default=None)
    alert = replace(alert, told_at=started)
    audience = listeners(rule, whole)
    if not alert.firing:
        audience |= _left(told, alert.id, {*audience}, whole, reachable)
    for channel, listener in audience.items():
        lines = [line for line in told if line.channel == channel and (line.silent or line.reason in SPOKEN)]
        known = heard(lines, alert.id)
        known.beside = company.beside(channel, key)
        _, made = verdict(rule, channel, listener, known, alert, at)
        if made:
            yield made


def _left(
    told: Sequence[Told], alert_id: str, named: Container[str], whole: Container[str], reachable: Callable[[str], bool]
) -> dict[str, Listener]:
    """The channels besides those `named` that were told of an incident, and that are still to hear of its end."""
    heard_of = sorted({line.channel for line in told if line.alert_id == alert_id and not line.silent})
    left = (channel for channel in heard_of if reachable(channel) and channel not in named)
    return {channel: Listener(partial_ends=channel not in whole, named=False) for channel in left}


def company(rule: Rule, told: Iterable[Told], still_open: Container[str]) -> Company:
    """Which groups channels were told of that fire still; `still_open` are the ids of the incidents that do."""
    made = Company.of(rule)
    for line in told if rule.group_by else ():
        if not line.silent and line.alert_id in still_open and line.reason in _OF_WHAT_FIRES:
            made.join(line.channel, line.group_key)
    return made


def heard(lines: Sequence[Told], alert_id: str) -> Heard:
    """What a channel knows from the lines about a group to it, oldest first."""
    mine = [line for line in lines if line.alert_id == alert_id]
    log = [sent(line) for line in lines if not line.silent]
    return Heard(log, mine[-1].reason if mine else "", any(line.waits for line in mine))


def verdict(  # noqa: PLR0917 - what a decision depends on
    rule: Rule, channel: str, listener: Listener, known: Heard, alert: Alert, at: datetime
) -> tuple[Reason, Verdict | None]:
    """What is decided for one channel, and the verdict if that is worth a line."""
    now = replace(listener, limited=True) if known.waits else listener
    reason = decide(rule, known.log, alert, at, now, known.beside)
    if reason.notifies:
        return reason, Verdict(channel, reason)
    if reason is Reason.NOTHING_NEW or reason.value == known.last:
        return reason, None
    kept = occasion(rule, known.log, alert, at, now, known.beside)
    return reason, _kept_quiet(rule, channel, known.log, alert, at, reason, kept)


def sent(line: Told) -> Sent:
    """A line that is not silent, as a decision looks back at it."""
    reason = Reason(line.reason)
    firing: frozenset[str] = frozenset() if reason.closes else frozenset({line.group_key})
    return Sent(line.at, line.alert_id, reason, firing)


def _kept_quiet(  # noqa: PLR0917 - what a decision depends on, and what came of it
    rule: Rule,
    channel: str,
    log: Sequence[Sent],
    alert: Alert,
    at: datetime,
    reason: Reason,
    occasion: Reason | None,
) -> Verdict:
    """A silence, with what it keeps back.

    A beginning that the quiet time swallows is told when that is over, what flapping swallows when it is steady.
    """
    if reason is Reason.COOLDOWN and occasion in _BEGINNINGS:
        return Verdict(channel, reason, occasion.value, quiet_until(rule, log))
    if reason is Reason.STILL_FLAPPING and occasion is not None:
        return Verdict(channel, reason, occasion.value, steady_at(rule, alert.opens, at))
    return Verdict(channel, reason)
