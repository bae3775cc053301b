"""The words of a notification, from a rule and what was measured. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.errors import UnknownMetric
from data.metrics import metric
from engine import templates
from engine.amounts import quantity, with_unit
from engine.condition import CompareAs, Condition
from engine.durations import spoken
from engine.errors import TemplateFault
from engine.notice import Notice
from engine.quantity import Quantity
from engine.rule import Rule, scope
from engine.sentence import limit, subject
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
#: Units that the metric's name tells already, and that would need a singular.
_COUNTED = frozenset({"requests", "tokens", "sessions", "keys"})


@dataclass(frozen=True, slots=True)
class Measured:
    """The condition that decided, what was measured (None: nothing), and what it was held against."""

    condition: Condition
    value: float | None
    threshold: float

    @property
    def metric(self) -> str:
        """Its name."""
        return self.condition.metric

    @property
    def unit(self) -> str:
        """The unit of what is compared; '' of a metric that there is no more."""
        if self.condition.compare is not None and self.condition.compare.as_ is CompareAs.PERCENT:
            return "percent"
        try:
            return metric(self.metric).unit
        except UnknownMetric:
            return ""


def measured(rule: Rule, truth: GroupTruth | None) -> Measured:
    """The decisive condition of an evaluation; of the rule's first condition when there was none."""
    if truth is None:
        first = rule.conditions[0]
        return Measured(_scoped(rule, first), None, first.value)
    decisive = truth.decisive
    condition = next(condition for path, condition in rule.placed if path == decisive.path)
    return Measured(_scoped(rule, condition), decisive.value, decisive.threshold)


def _scoped(rule: Rule, condition: Condition) -> Condition:
    """The condition with the rule's own `where` in its."""
    return condition.model_copy(update={"where": scope(rule, condition)}) if rule.where else condition


def summary(seen: Measured, *, ended: str = "", by: str = "") -> str:
    """`Cost today: $512.30 (threshold: above $500).`; with `ended`, a reason, how the incident came to an end."""
    if by:
        return f"Resolved by {by}."
    if not ended:
        return _told(seen)
    over = f"{_ENDED.get(ended, 'The incident is over')}."
    return over if seen.value is None else f"{over} {_told(seen)}"


def flapping(told: str, rule: Rule, count: int) -> str:
    """The summary of a notice that a group flaps."""
    if rule.flapping is None:
        return told
    within = spoken(rule.flapping.within)
    return f"It comes and goes, {count} times in {within}; nothing more is told until it is steady. {told}"


def others(count: int, names: str) -> str:
    """That so many other groups of the rule fire still."""
    return f"{'Another fires' if count == 1 else f'{count} others fire'} still: {names}."


def all_over(level: str = "") -> str:
    """The end of all groups, to a channel that was not told of each; `level` '' of a rule that has none."""
    return f"Nothing that was told here{f' as {level}' if level else ''} fires any more."


def _told(seen: Measured) -> str:
    shown = quantity(seen.value, seen.unit)
    if seen.condition.compare and (seen.value or 0) > 0:
        shown = f"+{shown}"
    try:
        what, held = subject(seen.condition), limit(seen.condition, seen.threshold)
    except UnknownMetric:
        what, held = seen.metric, with_unit(seen.threshold, seen.unit)
    if seen.unit in _COUNTED:
        shown, held = (_bare(text, seen.unit) for text in (shown, held))
    return f"{what[0].upper()}{what[1:]}: {shown} (threshold: {held})."


def _bare(text: str, unit: str) -> str:
    return text.removesuffix(f" {unit}").removesuffix(f" {unit.removesuffix('s')}")


def message(template: str, values: Mapping[str, Any]) -> tuple[str, str]:
    """A rule's message, a template (`engine.templates`), filled in, and what was wrong with it, '' for nothing.

    Known names are value, threshold (both a `Quantity`), metric, rule, severity, status, labels, and every label. A
    broken one stays as written.
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
        "value": Quantity(quantity(notice.value, notice.unit), notice.value),
        "threshold": Quantity(_limit(notice), notice.threshold),
        "metric": notice.metric,
        "rule": notice.rule_name or notice.title,
        "severity": notice.severity,
        "status": notice.status.value,
    }


def _limit(notice: Notice) -> str:
    return "no data" if notice.threshold is None else with_unit(notice.threshold, notice.unit)


def values_of(rule: Rule, seen: Measured, labels: Mapping[str, str], status: str) -> dict[str, Any]:
    """What a message can name."""
    return {
        **labels,
        "labels": dict(labels),
        "value": Quantity(quantity(seen.value, seen.unit), seen.value),
        "threshold": Quantity(with_unit(seen.threshold, seen.unit), seen.threshold),
        "metric": seen.metric,
        "rule": rule.name,
        "severity": rule.severity.value,
        "status": status,
    }
