"""What a rule watched around one of its incidents: its conditions' values, for the rule as it is now."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from data.metrics import metric
from data.store import Store
from engine import rules
from engine.condition import CompareAs, Condition
from engine.errors import EngineError
from engine.history import Grid
from engine.rule import Rule
from engine.series import stored
from engine.simulate import Simulation, simulate

MOST_EVALUATIONS = 1_500
SHORTEST, LONGEST = timedelta(minutes=20), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Course:
    """The rule, narrowed to the incident's group, and what it makes of the time around the incident."""

    rule: Rule
    made: Simulation


#: When it opened, when it was resolved (None: still open), and now.
Times = tuple[datetime, datetime | None, datetime]


def course(store: Store, rule_id: str, labels: tuple[tuple[str, str], ...], times: Times) -> Course | None:
    """What the rule watched, from a while before it opened to a while after; None: the rule is gone or unreadable."""
    try:
        rule = narrowed(rules.watched_by_id(store, rule_id).rule, dict(labels))
    except EngineError:
        return None
    grid = around(*times, rule.every)
    return Course(rule, simulate(rule, stored(store), grid.start, grid.end, grid.step))


def around(opened: datetime, resolved: datetime | None, now: datetime, every: timedelta) -> Grid:
    """The instants to look at: half the incident's length on either side, within limits, not too many, none to come."""
    until = resolved or max(now, opened)
    pad = min(max((until - opened) / 2, SHORTEST), LONGEST)
    start, end = opened - pad, max(min(until + pad, now), opened)
    most = timedelta(seconds=-(-(end - start).total_seconds() // MOST_EVALUATIONS))
    return Grid(start, end, max(every, most))


def narrowed(rule: Rule, labels: Mapping[str, str]) -> Rule:
    """The rule over one of its groups, at that group's level."""
    mine = {name: (labels[name],) for name in rule.group_by if name in labels}
    return rule.of(labels).model_copy(update={"where": {**rule.where, **mine}})


def unit(rule: Rule | None, threshold: float | None) -> str:
    """The unit of a value that was held against `threshold`; '' where the rule does not say."""
    conditions = rule.conditions if rule else ()
    exact = [one for one in conditions if threshold in (one.value, one.recovery)]
    units = {_unit(one) for one in exact or conditions}
    return units.pop() if len(units) == 1 else ""


def _unit(condition: Condition) -> str:
    percent = condition.compare is not None and condition.compare.as_ is CompareAs.PERCENT
    return "percent" if percent else metric(condition.metric).unit
