"""Which rules a list is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, or_, select

from data.schema import alert_instances, rules

#: What a rule without instances shows, switched on and off.
NORMAL, PAUSED = "normal", "paused"


@dataclass(frozen=True, slots=True)
class RuleFilter:
    """Which rules are asked for; empty means any.

    `state` is what a rule shows: its worst instance's. All of `labels`, names and values, must be there. `text` is
    looked for in names, labels and messages, in any case; or it is a rule's id.
    """

    severity: tuple[str, ...] = ()
    enabled: bool | None = None
    state: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    text: str = ""


def filtered(question: Select[Any], wanted: RuleFilter, worst_first: Sequence[str]) -> Select[Any]:
    """The question about `rules`, for those that are wanted; `worst_first` are the states of instances."""
    if wanted.severity:
        question = question.where(rules.c.severity.in_(wanted.severity))
    if wanted.enabled is not None:
        question = question.where(rules.c.enabled == wanted.enabled)
    if wanted.state:
        ranks = [worst_first.index(state) for state in wanted.state]
        question = question.where(_rank(worst_first).in_(ranks))
    for name, value in wanted.labels:
        question = question.where(_said("labels", name) == value)
    return question.where(_holds(wanted.text)) if wanted.text else question


def _rank(worst_first: Sequence[str]) -> ColumnElement[int]:
    i = alert_instances.c
    rank = case(*((i.state == state, n) for n, state in enumerate(worst_first)))
    worst = select(func.min(rank)).where(i.rule_id == rules.c.id).scalar_subquery()
    without = case((rules.c.enabled, worst_first.index(NORMAL)), else_=worst_first.index(PAUSED))
    return func.coalesce(worst, without)


def _said(*path: str) -> ColumnElement[str]:
    """What a rule's document says there, as text (JSON pointer, RFC 6901)."""
    parts = (part.replace("~", "~0").replace("/", "~1") for part in path)
    return func.json_extract_string(rules.c.document, "/" + "/".join(parts))


def _holds(text: str) -> ColumnElement[bool]:
    searched = (rules.c.name, _said("labels"), _said("message"))
    found = [func.lower(column).contains(text.lower(), autoescape=True) for column in searched]
    return or_(rules.c.id == text, *found)
