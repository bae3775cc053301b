"""From a rule to questions, and from their answers to truth. Pure: the asking is done by whoever calls.

`questions(rule, at)` and the answers handed to `evaluate` stand in the same order: for every condition its window,
then, where it compares, the window it compares with. Windows end `delay` before `at` and are half-open.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl

from data.metrics import metric
from data.query import Question
from engine.condition import CompareAs, Condition, written_value
from engine.levels import LEVEL
from engine.previous import back
from engine.rule import Rule, scope
from engine.state import Instance
from engine.truth import ConditionTruth, GroupTruth, Truth, compose, group_key, judge, threshold
from engine.window import Span

Group = tuple[str, ...]
#: A rule with more groups at once is not evaluated: so many incidents would tell nobody anything.
MOST_GROUPS = 1000
_NONE: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Failure:
    """Stands for an answer that could not be had; the message says why."""

    message: str


Answer = pl.DataFrame | Failure


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer, read: a value per group (values of `group_by`, as text); None where nothing was measured.

    `empty` is the metric's value over no requests.
    """

    values: Mapping[Group, float | None]
    empty: float | None
    failure: str = ""

    def of(self, group: Group) -> float | None:
        """The group's value, also where it had no requests."""
        value = self.values.get(group)
        return self.empty if value is None else value


class Named(NamedTuple):
    """A group as instances are told apart: its labels, with the level where there are levels, and their key."""

    labels: Mapping[str, str]
    key: str


class Readings:
    """Reads the answers of one evaluation: a frame that answers many conditions once, and a group's name once."""

    def __init__(self) -> None:
        self._read: dict[tuple[int, str, Group], tuple[pl.DataFrame, Reading]] = {}
        self._named: dict[tuple[Group, Group, tuple[str, ...]], list[Named]] = {}

    def parts(self, rule: Rule, answers: Sequence[Answer]) -> tuple[tuple[Reading, ...], ...]:
        """A rule's answers, read: for each condition its window and, where it compares, the other one."""
        rest = iter(answers)
        return tuple(
            tuple([self._of(rule, condition, next(rest)) for _ in range(2 if condition.compare else 1)])
            for condition in rule.conditions
        )

    def named(self, rule: Rule, group: Group) -> list[Named]:
        """A group of a rule, once for each level."""
        same = rule.group_by, group, tuple(rule.levels)
        if same not in self._named:
            every = levelled(rule, labels_of(rule, group))
            self._named[same] = [Named(labels, group_key(labels)) for labels in every]
        return self._named[same]

    def _of(self, rule: Rule, condition: Condition, answer: Answer) -> Reading:
        if isinstance(answer, Failure):
            return Reading({}, None, answer.message)
        same = id(answer), condition.metric, rule.group_by
        if same not in self._read:  # the answer is kept with it, so that no other gets its id
            self._read[same] = answer, _reading(condition.metric, rule.group_by, answer)
        return self._read[same][1]


def shifts(rule: Rule, condition: Condition, at: datetime) -> tuple[timedelta, ...]:
    """How long before `at` the condition's window ends and, where it compares, the one it compares with."""
    if condition.compare is None:
        return (rule.delay,)
    return rule.delay, rule.delay + back(condition.window, condition.compare.to, at - rule.delay, rule.zone)


def spans(rule: Rule, condition: Condition, at: datetime) -> tuple[Span, ...]:
    """The window a condition looks at when evaluated at `at` and, where it compares, the one it compares with."""
    return tuple(condition.window.span(at - shift, rule.zone) for shift in shifts(rule, condition, at))


def questions(rule: Rule, at: datetime) -> tuple[Question, ...]:
    """What has to be asked to evaluate the rule at `at`."""
    return tuple(
        Question(
            metrics=(condition.metric,),
            start=span.start,
            end=span.end,
            by=rule.group_by,
            where=scope(rule, condition),
            tz=rule.tz,
        )
        for condition in rule.conditions
        for span in spans(rule, condition, at)
    )


def evaluate(
    rule: Rule,
    answers: Sequence[Answer],
    instances: Mapping[str, Instance] | None = None,
    readings: Readings | None = None,
) -> tuple[GroupTruth, ...]:
    """What the rule says of every group, in order of their labels.

    `answers` are those to `questions(rule, at)`, in that order; `instances` are the rule's, by group key; `readings`
    are shared with other rules whose answers are of the same asking. An ungrouped rule has one group always; a grouped
    one has those that an answer names and, where an answer failed, those known; if there are none, the failure itself
    is told by a group without labels. More than `MOST_GROUPS` groups are a failure too. Where there are levels, each
    group stands there once a level, from the same readings.
    """
    known, shared = instances or {}, readings or Readings()
    parts = _limited(rule, shared.parts(rule, answers))
    failures, found = _failures(parts), []
    for group in _groups(rule, parts, known):
        values = [tuple([reading.of(group) for reading in part]) for part in parts]
        for labels, key in shared.named(rule, group):
            instance = known.get(key)
            held = instance.held if instance else _NONE
            found.append(truth_of(rule.of(labels), labels, values, failures, held, key=key))
    return tuple(found)


def labels_of(rule: Rule, group: Group) -> dict[str, str]:
    """A group's labels; none for the only group of an ungrouped rule, and for the one that tells a failure."""
    return dict(zip(rule.group_by, group, strict=False))


def levelled(rule: Rule, labels: dict[str, str]) -> list[dict[str, str]]:
    """A group's labels once for each level, worst first; as they are where there are no levels."""
    return [{**labels, LEVEL: level} for level in rule.levels] or [labels]


def truth_of(
    rule: Rule,
    labels: Mapping[str, str],
    values: Sequence[Sequence[float | None]],
    failures: Sequence[str],
    held: frozenset[int],
    *,
    key: str = "",
) -> GroupTruth:
    """One group's truth from what was measured: per condition a value and, where it compares, the baseline.

    `held` are the conditions that its instance holds by their recovery thresholds; `key` is the group's, if known.
    """
    conditions = [
        _condition_truth(path, condition, values[n], failures[n], held=n in held)
        for n, (path, condition) in enumerate(rule.placed)
    ]
    return GroupTruth(labels, compose(rule.when, [c.truth for c in conditions]), tuple(conditions), key)


def compared(condition: Condition, measured: float | None, baseline: float | None) -> float | None:
    """What the threshold is held against: difference or percentage; None where the baseline is nothing or zero."""
    if condition.compare is None:
        return measured
    if measured is None or baseline is None:
        return None
    if condition.compare.as_ is CompareAs.DIFFERENCE:
        return measured - baseline
    return (measured - baseline) / abs(baseline) * 100 if baseline else None


def empty_value(name: str) -> float | None:
    """What a metric is over no requests at all: zero for what is counted, nothing for shares, averages and ranks."""
    return None if metric(name).empty is None else 0.0


def _condition_truth(
    path: str, condition: Condition, values: Sequence[float | None], failure: str, *, held: bool
) -> ConditionTruth:
    measured, baseline = values[0], values[1] if len(values) > 1 else None
    value = None if failure else compared(condition, measured, baseline)
    return ConditionTruth(
        path=path,
        metric=condition.metric,
        value=value,
        threshold=threshold(condition, held=held),
        truth=Truth.ERROR if failure else judge(condition, value, held=held),
        measured=measured,
        baseline=baseline,
        message=failure,
    )


def _reading(name: str, by: Sequence[str], answer: pl.DataFrame) -> Reading:
    values: dict[Group, float | None] = {}
    for group, value in zip(_labels(answer, by), _numbers(answer, name), strict=True):
        if group in values:
            return Reading({}, None, f"two groups have the labels {dict(zip(by, group, strict=True))}")
        values[group] = value
    return Reading(values, empty_value(name))


def _labels(answer: pl.DataFrame, by: Sequence[str]) -> list[Group]:
    columns = [map(written_value, answer.get_column(name).to_list()) for name in by]
    return list(zip(*columns, strict=True)) if by else [()] * answer.height


def _numbers(answer: pl.DataFrame, name: str) -> list[float | None]:
    return [number(value) for value in answer.get_column(name).cast(pl.Float64).to_list()]


def number(value: float | None) -> float | None:
    """A value as a plain float; None where it is missing or NaN."""
    return None if value is None or math.isnan(value) else float(value)


def too_many(groups: int) -> str:
    """What is said of a rule with so many groups; '' where they are not too many."""
    return f"{groups:,} groups are too many: at most {MOST_GROUPS:,}; narrow where or group_by" * (groups > MOST_GROUPS)


def _limited(rule: Rule, readings: tuple[tuple[Reading, ...], ...]) -> tuple[tuple[Reading, ...], ...]:
    groups = {group for part in readings for reading in part for group in reading.values} if rule.group_by else set()
    why = too_many(len(groups))
    return tuple(tuple(Reading({}, None, why) for _ in part) for part in readings) if why else readings


def _failures(readings: Sequence[Sequence[Reading]]) -> list[str]:
    return [next((r.failure for r in part if r.failure), "") for part in readings]


def _groups(rule: Rule, readings: Sequence[Sequence[Reading]], known: Mapping[str, Instance]) -> list[Group]:
    if not rule.group_by:
        return [()]
    groups = {group for part in readings for reading in part for group in reading.values}
    if any(_failures(readings)):
        groups.update(tuple(i.labels[name] for name in rule.group_by) for i in known.values() if _is_group(rule, i))
        groups = groups or {()}
    return sorted(groups)


def _is_group(rule: Rule, instance: Instance) -> bool:
    """Whether an instance is a group's, and does not tell a failure."""
    return instance.labels.keys() >= set(rule.group_by)
