"""What an evaluation found, condition by condition, in rows that a page and the API show as they are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from data.metrics import metric
from engine.condition import Condition
from engine.rule import Rule
from engine.sentence import condition_sentence, quantity, rounded, with_unit
from engine.truth import ConditionTruth, GroupTruth, Truth


@dataclass(frozen=True, slots=True)
class Explanation:
    """One condition for one group. `shown` and `limit` are value and threshold with their units.

    `measured` and `baseline` are set where the condition compares; `whole` is the rule's truth for the group.
    """

    labels: Mapping[str, str]
    whole: Truth
    path: str
    condition: str
    metric: str
    unit: str
    value: float | None
    threshold: float
    truth: Truth
    shown: str
    limit: str
    measured: str
    baseline: str
    message: str


def explain(rule: Rule, groups: Iterable[GroupTruth]) -> list[Explanation]:
    """One row a group and condition, in their order."""
    return [
        _explained(group, condition, found)
        for group in groups
        for condition, found in zip(rule.of(group.labels).conditions, group.conditions, strict=True)
    ]


def _explained(group: GroupTruth, condition: Condition, found: ConditionTruth) -> Explanation:
    unit = metric(condition.metric).unit
    compares = condition.compare is not None
    return Explanation(
        labels=group.labels,
        whole=group.truth,
        path=found.path,
        condition=condition_sentence(condition),
        metric=condition.metric,
        unit=unit,
        value=found.value,
        threshold=found.threshold,
        truth=found.truth,
        shown=_shown(found) if found.value is None else quantity(condition, rounded(found.value)),
        limit=quantity(condition, found.threshold),
        measured=_amount(found.measured, unit) if compares else "",
        baseline=_amount(found.baseline, unit) if compares else "",
        message=found.message,
    )


def _shown(found: ConditionTruth) -> str:
    return "error" if found.truth is Truth.ERROR else "no data"


def _amount(value: float | None, unit: str) -> str:
    return "no data" if value is None else with_unit(rounded(value), unit)
