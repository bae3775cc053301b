"""The words of a notification, from a rule and what was measured. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.errors import UnknownMetric
from data.metrics import metric
from engine import templates
from engine.condition import CompareAs, Condition
from engine.durations import spoken
from engine.errors import TemplateFault
from engine.notice import Notice
from engine.rule import Rule
from engine.sentence import with_unit
from engine.state import Reason
from engine.truth import GroupTruth

_ENDED: Mapping[str, str] = {
    Reason.CONDITION: "The condition no longer holds",
    Reason.MISSING_GROUP: "The group has vanished from the data",
    Reason.NO_DATA: "There is no data any more",
    Reason.UPDATED: "The rule was changed, so that it starts anew",
    Reason.PAUSED: "The rule was paused",
    Reason.DELETED: "The rule was deleted",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """The condition that decided: its metric and unit, what was measured and what it was compared with."""

    metric: str = ""
    unit: str = ""
    op: str = ""
    value: float | None = None
    threshold: float | None = None


def measured(rule: Rule, truth: GroupTruth | None) -> Measured:
    """The decisive condition of an evaluation; of the rule's first condition when there was none."""
    if truth is None:
        first = rule.conditions[0]
        return Measured(first.metric, unit_of(first), first.op.value, None, first.value)
    decisive = truth.decisive
    condition = next(condition for path, condition in rule.placed if path == decisive.path)
    return Measured(decisive.metric, unit_of(condition), condition.op.value, decisive.value, decisive.threshold)


def unit_of(condition: Condition) -> str:
    """The unit of what a condition compares."""
    if condition.compare is not None and condition.compare.as_ is CompareAs.PERCENT:
        return "percent"
    try:
        return metric(condition.metric).unit
    except UnknownMetric:
        return ""


def summary(seen: Measured, *, ended: str = "", by: str = "") -> str:
    """One sentence: `cost is $512.3 (threshold > $500)`; with `ended`, a reason, how the incident came to an end."""
    told = f"{seen.metric} is {_shown(seen.value, seen.unit)} (threshold {seen.op} {_shown(seen.threshold, seen.unit)})"
    if by:
        return f"Resolved by {by}."
    if ended:
        tail = f": {told}" if seen.value is not None else ""
        return f"{_ENDED.get(ended, 'The incident is over')}{tail}."
    return f"{told}."


def flapping(told: str, rule: Rule, count: int) -> str:
    """The summary of a notice that a group flaps."""
    if rule.flapping is None:
        return told
    within = spoken(rule.flapping.within)
    return f"It comes and goes, {count} times in {within}; nothing more is told until it is steady. Now {told}"


def _shown(value: float | None, unit: str) -> str:
    return "no data" if value is None else with_unit(value, unit)


def message(template: str, values: Mapping[str, Any]) -> tuple[str, str]:
    """A rule's message, a template (`engine.templates`), filled in, and what was wrong with it, '' for nothing.

    Known names are value, threshold, metric, rule, severity, status, labels, and every label. A broken one stays as
    written.
    """
    try:
        return templates.render(template, values), ""
    except TemplateFault as fault:
        return template, f"the message {fault}" if str(fault).startswith("names") else f"the message: {fault}"


def values_of_notice(notice: Notice) -> dict[str, Any]:
    """What a message can name, for a notice that was made before."""
    return {
        **notice.labels,
        "labels": dict(notice.labels),
        "value": _shown(notice.value, notice.unit),
        "threshold": _shown(notice.threshold, notice.unit),
        "metric": notice.metric,
        "rule": notice.rule_name or notice.title,
        "severity": notice.severity,
        "status": notice.status.value,
    }


def values_of(rule: Rule, seen: Measured, labels: Mapping[str, str], status: str) -> dict[str, Any]:
    """What a message can name."""
    return {
        **labels,
        "labels": dict(labels),
        "value": _shown(seen.value, seen.unit),
        "threshold": _shown(seen.threshold, seen.unit),
        "metric": seen.metric,
        "rule": rule.name,
        "severity": rule.severity.value,
        "status": status,
    }
