"""One tick: every rule of a cadence evaluated from one read, and what follows of each committed as a whole.

1. read the instances, and what the rules ask, all at once
2. evaluate each rule; one that fails says so in its health and stops no other
3. step its instances, and decide who is told
4. commit each rule's instances, incidents, events, notices and health together, fenced by the worker's lease

Which rules share a transaction, and what becomes of one whose rows have changed since they were read, is said in
`engine.commit`.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from data import query
from data.errors import ConflictError, DataError, StoreUnavailable
from data.queries import alerts
from data.queries.alerts import Changes, committing
from data.query import Question
from data.store import Statement, Store
from engine import instances, state
from engine.commit import commit
from engine.episode import Move, Situation, Watched, changes
from engine.evaluate import Answer, Failure, Readings, evaluate, questions
from engine.garbage import uncollected
from engine.ration import rationed
from engine.rule import Rule
from engine.situation import situations
from engine.state import Instance
from engine.terms import Terms
from engine.truth import GroupTruth, Truth

#: A rule whose evaluation takes more than this share of its cadence is called slow.
SLOW_SHARE = 0.5
#: How long questions are asked one by one after the shared read failed.
PATIENCE_S = 20.0
#: An instance evaluated later than this from now was so by a clock that has been set back.
AHEAD = timedelta(minutes=1)
_log = logging.getLogger(__name__)


class Health(StrEnum):
    """How a rule's evaluations go, apart from what they say."""

    OK = "ok"
    ERROR = "error"
    NO_DATA = "no_data"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick came to. `conflicted` are ids of rules whose rows changed meanwhile."""

    at: datetime
    rules: int
    notices: int
    transitions: int
    conflicted: tuple[str, ...]
    duration_ms: float


Asking = Callable[[Store, Sequence[Sequence[Question]]], list[list[Answer]]]


@dataclass(frozen=True, slots=True)
class _Evaluated:
    watched: Watched
    truths: tuple[GroupTruth, ...]
    moves: tuple[Move, ...]
    failure: str = ""


@uncollected()
def tick(
    store: Store,
    rules: Sequence[Watched],
    at: datetime,
    *,
    fence: Sequence[Statement] = (),
    public_url: str = "",
    asking: Asking | None = None,
) -> Tick:
    """Evaluate `rules` together at `at`; `asking` answers their questions in the ledger's place.

    Raises Fenced, or StoreError: some rules may be written then, each whole; the next tick reads what is.
    """
    begun = time.perf_counter()
    # what it is made of is let go of before the commit, which needs as much memory again
    parts = _evaluated(store, rules, at, public_url, asking or ask, begun)
    conflicted = commit(store, parts, fence)
    written = [part for rule_id, part in parts.items() if rule_id not in conflicted]
    return Tick(
        at=at,
        rules=len(parts),
        notices=sum(len(part.notices) for part in written),
        transitions=sum(len(part.events) for part in written),
        conflicted=tuple(conflicted),
        duration_ms=(time.perf_counter() - begun) * 1000,
    )


def _evaluated(  # noqa: PLR0917 - what a tick is made of
    store: Store, rules: Sequence[Watched], at: datetime, public_url: str, asking: Asking, begun: float
) -> dict[str, Changes]:
    """By id, what each rule's evaluation leaves behind; rules that were evaluated at `at` already are left out."""
    known = instances.from_rows(alerts.instances(store, [one.id for one in rules]))
    due = [one for one in rules if not _seen(known.get(one.id, {}), at)]
    answered = asking(store, [questions(one.rule, at) for one in due])
    readings = Readings()
    steps = [_step(one, known.get(one.id, {}), got, readings, at) for one, got in zip(due, answered, strict=True)]
    return _consequences(store, steps, at, public_url, begun)


def _seen(known: Mapping[str, Instance], at: datetime) -> bool:
    """Whether a rule was evaluated at `at` already; some of its groups may only have been resolved by hand since."""
    return bool(known) and all(_is_seen(instance, at) for instance in known.values())


def _is_seen(instance: Instance, at: datetime) -> bool:
    return at <= instance.evaluated_at <= at + AHEAD


def look(store: Store, rule: Rule, at: datetime, rule_id: str = "") -> tuple[GroupTruth, ...]:
    """Evaluate one rule now without any consequence: each group's truth with every condition's value.

    `rule_id` is the stored rule's: what fires is held to its recovery threshold, as a tick has it; '' for a draft.
    """
    known = instances.from_rows(alerts.instances(store, [rule_id])).get(rule_id, {}) if rule_id else {}
    (answers,) = ask(store, [questions(rule, at)])
    return evaluate(rule, answers, known)


def ask(store: Store, asked: Sequence[Sequence[Question]]) -> list[list[Answer]]:
    """The answers to each rule's questions, from shared reads; where one fails, a Failure in its place.

    Raises StoreUnavailable when the store itself is away.
    """
    flat = [question for part in asked for question in part]
    try:
        rest: list[Answer] = list(query.answers(store, flat))
    except StoreUnavailable:
        raise
    except DataError:
        rest = _one_by_one(store, flat, time.monotonic() + PATIENCE_S)
    found = iter(rest)
    return [[next(found) for _ in part] for part in asked]


def _one_by_one(store: Store, asked: Sequence[Question], until: float) -> list[Answer]:
    """Each question for itself, so that a bad one spoils only its own rule; after `until` the rest is given up."""
    return [
        _alone(store, question) if time.monotonic() < until else Failure("other questions took all of the tick's time")
        for question in asked
    ]


def _alone(store: Store, question: Question) -> Answer:
    try:
        return query.answer(store, question)
    except StoreUnavailable:
        raise
    except DataError as error:
        return Failure(f"{', '.join(question.metrics)} could not be read: {error}")


def _step(
    one: Watched, known: Mapping[str, Instance], answers: Sequence[Answer], readings: Readings, at: datetime
) -> _Evaluated:
    """One rule's evaluation and the steps it takes; a rule that cannot be evaluated takes none."""
    caught = {key: instances.caught_up(one.rule, instance, at) for key, instance in known.items()}
    try:
        truths = evaluate(one.rule, answers, caught, readings)
        steps = state.advance(one.rule, caught, truths, at)
    except Exception as error:  # noqa: BLE001 - one broken rule must stop no other
        return _broken(one, error)
    by_key = {truth.key: truth for truth in truths}
    settled = {key for key, instance in known.items() if _is_seen(instance, at)}
    moves = [Move(key, known.get(key), step, by_key.get(key)) for key, step in steps.items() if key not in settled]
    return _Evaluated(one, truths, tuple(moves))


def _broken(one: Watched, error: Exception) -> _Evaluated:
    _log.error("rule %s (%s) could not be evaluated", one.id, one.rule.name, exc_info=error)
    return _Evaluated(one, (), (), f"{type(error).__name__}: {error}")


def _consequences(
    store: Store, evaluated: Sequence[_Evaluated], at: datetime, public_url: str, begun: float
) -> dict[str, Changes]:
    """By rule id, what each evaluation leaves behind."""
    concerned = [one.watched for one in evaluated if any(_alerting(move) for move in one.moves)]
    moves = {one.watched.id: one.moves for one in evaluated}
    known = situations(store, concerned, at, public_url=public_url, moves=moves)
    made: dict[str, Changes] = {}
    for one in evaluated:
        try:
            part = changes(one.watched, one.moves, known.get(one.watched.id, Situation()), at)
        except Exception as error:  # noqa: BLE001 - as in `_step`
            one, part = _broken(one.watched, error), Changes()  # noqa: PLW2901 - its health is told either way
        made[one.watched.id] = replace(part, health=(_health(one, at, begun),))
    terms = next((situation.terms for situation in known.values()), Terms())
    served = rationed(list(made.values()), terms, at)
    return dict(zip(made, served, strict=True))


def _alerting(move: Move) -> bool:
    return any(instance is not None and instance.alerting for instance in (move.stored, move.step.instance))


def _health(one: _Evaluated, at: datetime, begun: float) -> dict[str, Any]:
    elapsed_s = time.perf_counter() - begun
    health, message = _verdict(one, elapsed_s)
    return {
        "rule_id": one.watched.id,
        "version": one.watched.version,
        "health": health.value,
        "message": message[:1000],
        "evaluated_at": at,
        "duration_ms": elapsed_s * 1000,
    }


def _verdict(one: _Evaluated, elapsed_s: float) -> tuple[Health, str]:
    failure = one.failure or next((truth.message for truth in one.truths if truth.message), "")
    if failure:
        return Health.ERROR, failure
    if one.truths and all(truth.truth is Truth.NO_DATA for truth in one.truths):
        return Health.NO_DATA, "there is nothing to measure"
    if elapsed_s > one.watched.rule.every.total_seconds() * SLOW_SHARE:
        return Health.SLOW, f"the evaluation took {elapsed_s:.1f} s"
    return Health.OK, ""


def fault(store: Store, rule_id: str, version: int, message: str, at: datetime) -> None:
    """Say in a rule's health that its stored document cannot be read."""
    health = {
        "rule_id": rule_id,
        "version": version,
        "health": Health.ERROR.value,
        "message": message[:1000],
        "evaluated_at": at,
        "duration_ms": 0.0,
    }
    try:
        store.transact(committing([Changes(health=(health,))]))
    except ConflictError:
        _log.info("rule %s was changed before its fault was noted", rule_id)
