"""The state of one rule for one group, and how an evaluation moves it. Pure: time is an argument.

    Normal ─► Pending ─► Firing ─► Recovering ─► Normal        besides: NoData, Error, Paused

An instance *alerts* while it is Firing or Recovering, and stays so through NoData and Error: what is not known ends
no incident. `active_since` is set exactly while an instance is Pending or alerts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from engine.rule import NoData, OnError, Rule
from engine.truth import GroupTruth, Truth

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
_UNKNOWN = (State.NO_DATA, State.ERROR)


@dataclass(frozen=True, slots=True)
class Instance:
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
        firing = self.state in (State.FIRING, State.RECOVERING)
        return firing or (self.state in _UNKNOWN and self.active_since is not None)


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


@dataclass(frozen=True, slots=True)
class Step:
    """What one evaluation made of an instance; without one, the group is gone and its row with it."""

    instance: Instance | None
    transition: Transition | None


def step(rule: Rule, instance: Instance | None, truth: GroupTruth | None, now: datetime) -> Step:
    """The instance after an evaluation at `now`. `instance` None: a new group; `truth` None: the group vanished."""
    if truth is None:
        return _missing(instance, now)
    before = instance or Instance(truth.labels, State.NORMAL, Reason.CONDITION, since=now, evaluated_at=now)
    if before.state is State.PAUSED:
        return Step(before, None)
    after = replace(
        _moved(rule, before, truth.truth, now),
        evaluated_at=now,
        missing_evaluations=0,
        value=truth.value,
        threshold=truth.threshold,
    )
    after = replace(after, held=_held(rule, after, truth))
    return Step(after, _transition(before, after, now))


def advance(
    rule: Rule, instances: Mapping[str, Instance], truths: Sequence[GroupTruth], now: datetime
) -> dict[str, Step]:
    """One evaluation of all of a rule's groups, known and new, by group key."""
    found = {truth.key: truth for truth in truths}
    keys = dict.fromkeys([*instances, *found])
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


def _moved(rule: Rule, before: Instance, truth: Truth, now: datetime) -> Instance:
    if truth is Truth.TRUE:
        return _active(rule, before, Reason.CONDITION, now)
    if truth is Truth.FALSE:
        return _clear(rule, before, Reason.CONDITION, now)
    policy = rule.no_data if truth is Truth.NO_DATA else rule.on_error
    reason = Reason.NO_DATA if truth is Truth.NO_DATA else Reason.ERROR
    if policy in (NoData.KEEP, OnError.KEEP):
        return before
    if policy in (NoData.FIRING, OnError.FIRING):
        return _active(rule, before, reason, now)
    if policy is NoData.OK:
        return _clear(rule, before, reason, now)
    return _unknown(before, State.NO_DATA if truth is Truth.NO_DATA else State.ERROR, reason, now)


def _active(rule: Rule, before: Instance, reason: Reason, now: datetime) -> Instance:
    active_since = before.active_since or now
    if now - active_since >= rule.for_:
        return _in(State.FIRING, before, reason, now, active_since=active_since)
    demoted = Reason.UPDATED if before.alerting else reason
    return _in(State.PENDING, before, demoted, now, active_since=active_since)


def _clear(rule: Rule, before: Instance, reason: Reason, now: datetime) -> Instance:
    recovering_since = before.recovering_since or now
    if before.alerting and now - recovering_since < rule.keep_firing_for:
        return _in(
            State.RECOVERING,
            before,
            reason,
            now,
            active_since=before.active_since,
            recovering_since=recovering_since,
        )
    return _in(State.NORMAL, before, reason, now)


def _unknown(before: Instance, state: State, reason: Reason, now: datetime) -> Instance:
    return _in(state, before, reason, now, active_since=before.active_since if before.alerting else None)


def _in(
    state: State,
    before: Instance,
    reason: Reason,
    now: datetime,
    *,
    active_since: datetime | None = None,
    recovering_since: datetime | None = None,
) -> Instance:
    return replace(
        before,
        state=state,
        reason=reason,
        since=before.since if state is before.state else now,
        active_since=active_since,
        recovering_since=recovering_since,
    )


def _held(rule: Rule, after: Instance, truth: GroupTruth) -> frozenset[int]:
    if not after.alerting:
        return frozenset()
    return frozenset(
        n
        for n, (condition, found) in enumerate(zip(rule.conditions, truth.conditions, strict=True))
        if condition.recovery is not None
        and (found.truth is Truth.TRUE or (found.truth is not Truth.FALSE and n in after.held))
    )


def _missing(before: Instance | None, now: datetime) -> Step:
    if before is None or before.state is State.PAUSED:
        return Step(before, None)
    missing = before.missing_evaluations + 1
    if missing < MISSING_LIMIT:
        return Step(replace(before, missing_evaluations=missing, evaluated_at=now), None)
    gone = _in(State.NORMAL, before, Reason.MISSING_GROUP, now)
    return Step(None, _transition(before, gone, now))


def _forced(before: Instance, state: State, reason: Reason, now: datetime) -> Step:
    after = replace(_in(state, before, reason, now), missing_evaluations=0, held=frozenset())
    return Step(after, _transition(before, after, now))


def _transition(before: Instance, after: Instance, now: datetime) -> Transition | None:
    if before.state is after.state and before.alerting is after.alerting:
        return None
    return Transition(
        at=now,
        labels=after.labels,
        before=before.state,
        after=after.state,
        reason=after.reason,
        value=after.value,
        threshold=after.threshold,
        opens=after.alerting and not before.alerting,
        resolves=before.alerting and not after.alerting,
    )
