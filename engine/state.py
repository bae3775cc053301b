"""The state of one rule for one group, and how an evaluation moves it. Pure: time is an argument.

    Normal ─► Pending ─► Firing ─► Recovering ─► Normal        besides: NoData, Error, Paused

An instance *alerts* while it is Firing or Recovering, and stays so through NoData and Error: what is not known ends
no incident. `active_since` is set exactly while an instance is Pending or alerts; `recovering_since` from the first
false on until it is true again or over, so that a hole does not begin the wait for the end anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from engine.rule import NoData, OnError, Rule
from engine.truth import GroupTruth, Truth, Verdict

#: A vanished group is given up at this many evaluations without it.
MISSING_LIMIT = 2
#: After a longer downtime a pending instance starts anew.
LONG_DOWNTIME = timedelta(hours=1)


class State(StrEnum):
    """Where an instance stands."""

    NORMAL = "normal"
    PENDING = "pending"
    FIRING = "firing"
    RECOVERING = "recovering"
    NO_DATA = "no_data"
    ERROR = "error"
    PAUSED = "paused"


class Reason(StrEnum):
    """Why an instance is in its state."""

    CONDITION = "condition"
    MISSING_GROUP = "missing_group"
    NO_DATA = "no_data"
    ERROR = "error"
    UPDATED = "updated"
    PAUSED = "paused"
    DELETED = "deleted"
    RESTORED = "restored"


#: Worst first: what a rule with several instances shows.
WORST: tuple[State, ...] = (
    State.FIRING,
    State.RECOVERING,
    State.ERROR,
    State.NO_DATA,
    State.PENDING,
    State.NORMAL,
    State.PAUSED,
)


class Instance(msgspec.Struct, frozen=True):
    """One rule for one group. Times are aware UTC.

    `held` are the positions of the conditions that their recovery threshold keeps true. `alert_id` is the open
    incident's; it is carried along for whoever stores the instance and never looked at here.
    """

    labels: Mapping[str, str]
    state: State
    reason: Reason
    since: datetime
    evaluated_at: datetime
    active_since: datetime | None = None
    recovering_since: datetime | None = None
    missing_evaluations: int = 0
    value: float | None = None
    threshold: float | None = None
    held: frozenset[int] = frozenset()
    alert_id: str = ""

    @property
    def alerting(self) -> bool:
        """Whether an incident is open for it."""
        return _alerting(self.state, self.active_since)


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state. `opens` and `resolves` say whether an incident starts or ends with it."""

    at: datetime
    labels: Mapping[str, str]
    before: State
    after: State
    reason: Reason
    value: float | None
    threshold: float | None
    opens: bool
    resolves: bool


class Step(msgspec.Struct, frozen=True):
    """What one evaluation made of an instance; without one, the group is gone and its row with it."""

    instance: Instance | None
    transition: Transition | None


def step(rule: Rule, instance: Instance | None, truth: Verdict | None, now: datetime) -> Step:
    """The instance after an evaluation at `now`. `instance` None: a new group; `truth` None: the group vanished."""
    if truth is None:
        return _missing(instance, now)
    before = instance or Instance(truth.labels, State.NORMAL, Reason.CONDITION, since=now, evaluated_at=now)
    if before.state is State.PAUSED:
        return Step(before, None)
    move = _move(rule, before, truth.truth, now)
    after = _after(
        before,
        move,
        now,
        value=truth.value,
        threshold=truth.threshold,
        held=_held(rule, before, move, truth),
    )
    return Step(after, _transition(before, after, now))


def advance(
    rule: Rule, instances: Mapping[str, Instance], truths: Sequence[GroupTruth], now: datetime
) -> dict[str, Step]:
    """One evaluation of all of a rule's groups, known and new, by group key, in the order of these."""
    found = {truth.key: truth for truth in truths}
    keys = sorted({*instances, *found})
    return {key: step(rule, instances.get(key), found.get(key), now) for key in keys}


def pause(instance: Instance, now: datetime) -> Step:
    """Stop watching: an open incident ends."""
    return _forced(instance, State.PAUSED, Reason.PAUSED, now)


def reset(instance: Instance, reason: Reason, now: datetime) -> Step:
    """Begin anew, after an edit, a deletion or a pause: an open incident ends."""
    return _forced(instance, State.NORMAL, reason, now)


def restored(instance: Instance, downtime: timedelta) -> Instance:
    """The instance after a restart: time that nobody watched does not count as pending."""
    if instance.state is not State.PENDING or instance.active_since is None:
        return instance
    since = None if downtime > LONG_DOWNTIME else instance.active_since + downtime
    return replace(instance, active_since=since, reason=Reason.RESTORED)


def worst(states: Iterable[State]) -> State:
    """The state a rule shows: its worst instance's; normal without any."""
    return min(states, key=WORST.index, default=State.NORMAL)


class _Move(NamedTuple):
    """Where an instance goes."""

    state: State
    reason: Reason
    active_since: datetime | None = None
    recovering_since: datetime | None = None

    @property
    def alerting(self) -> bool:
        return _alerting(self.state, self.active_since)


def _alerting(state: State, active_since: datetime | None) -> bool:
    if state is State.FIRING or state is State.RECOVERING:
        return True
    return active_since is not None and (state is State.NO_DATA or state is State.ERROR)


def _move(rule: Rule, before: Instance, truth: Truth, now: datetime) -> _Move:
    if truth is Truth.TRUE:
        move = _active(rule, before, Reason.CONDITION, now)
        is_still = before.reason is Reason.RESTORED and move.state is before.state
        return move._replace(reason=Reason.RESTORED) if is_still else move
    if truth is Truth.FALSE:
        return _clear(rule, before, Reason.CONDITION, now)
    policy = rule.no_data if truth is Truth.NO_DATA else rule.on_error
    reason = Reason.NO_DATA if truth is Truth.NO_DATA else Reason.ERROR
    if policy in (NoData.KEEP, OnError.KEEP):
        return _Move(before.state, before.reason, before.active_since, before.recovering_since)
    if policy in (NoData.FIRING, OnError.FIRING):
        return _active(rule, before, reason, now)
    if policy is NoData.OK:
        return _clear(rule, before, reason, now)
    return _unknown(before, State.NO_DATA if truth is Truth.NO_DATA else State.ERROR, reason)


def _unknown(before: Instance, state: State, reason: Reason) -> _Move:
    if not before.alerting:
        return _Move(state, reason)
    return _Move(state, reason, before.active_since, before.recovering_since)


def _active(rule: Rule, before: Instance, reason: Reason, now: datetime) -> _Move:
    active_since = before.active_since or now
    if now - active_since >= rule.for_:
        return _Move(State.FIRING, reason, active_since)
    return _Move(State.PENDING, Reason.UPDATED if before.alerting else reason, active_since)


def _clear(rule: Rule, before: Instance, reason: Reason, now: datetime) -> _Move:
    recovering_since = before.recovering_since or now
    if before.alerting and now - recovering_since < rule.keep_firing_for:
        return _Move(State.RECOVERING, reason, before.active_since, recovering_since)
    return _Move(State.NORMAL, reason)


def _held(rule: Rule, before: Instance, move: _Move, truth: Verdict) -> frozenset[int]:
    recovering = rule.of(before.labels).recovering if move.alerting else ()
    if not recovering:
        return frozenset()
    truths = truth.truths
    return frozenset(
        n for n in recovering if truths[n] is Truth.TRUE or (truths[n] is not Truth.FALSE and n in before.held)
    )


def _after(
    before: Instance,
    move: _Move,
    now: datetime,
    *,
    value: float | None,
    threshold: float | None,
    held: frozenset[int] = frozenset(),
) -> Instance:
    return Instance(
        labels=before.labels,
        state=move.state,
        reason=move.reason,
        since=before.since if move.state is before.state else now,
        evaluated_at=now,
        active_since=move.active_since,
        recovering_since=move.recovering_since,
        value=value,
        threshold=threshold,
        held=held,
        alert_id=before.alert_id,
    )


def _missing(before: Instance | None, now: datetime) -> Step:
    if before is None or before.state is State.PAUSED:
        return Step(before, None)
    missing = before.missing_evaluations + 1
    if missing < MISSING_LIMIT:
        return Step(replace(before, missing_evaluations=missing, evaluated_at=now), None)
    gone = _Move(State.NORMAL, Reason.MISSING_GROUP)
    return Step(
        None, _transition(before, _after(before, gone, now, value=before.value, threshold=before.threshold), now)
    )


def _forced(before: Instance, state: State, reason: Reason, now: datetime) -> Step:
    after = _after(before, _Move(state, reason), now, value=before.value, threshold=before.threshold)
    return Step(after, _transition(before, after, now))


def _transition(before: Instance, after: Instance, now: datetime) -> Transition | None:
    if before.state is after.state and before.alerting is after.alerting:
        return None
    by_condition = after.alerting and after.reason is Reason.CONDITION
    return Transition(
        at=now,
        labels=after.labels,
        before=before.state,
        after=after.state,
        # that it fires later than `for` says is the gap's doing: time that nobody watched did not count
        reason=Reason.RESTORED if by_condition and before.reason is Reason.RESTORED else after.reason,
        value=after.value,
        threshold=after.threshold,
        opens=after.alerting and not before.alerting,
        resolves=before.alerting and not after.alerting,
    )
