"""The rule as data: a document people write, checked, with nothing left to interpret."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import yaml
from pydantic import BeforeValidator, Field, ValidationError

from data.dimensions import OWN_DIMENSIONS
from data.metrics import metric
from data.question import own_words
from engine import unique_yaml
from engine.active import Active, Zone
from engine.condition import (
    AllOf,
    AnyOf,
    Compare,
    Condition,
    DimensionName,
    Document,
    Node,
    Not,
    Placed,
    Where,
    oversize,
    placed_conditions,
    written_value,
)
from engine.durations import Duration, PositiveDuration
from engine.errors import Fault, RuleError
from engine.faults import faults
from engine.levels import LEVEL, WARN_FIELDS, Level, at_level, level_faults, warns
from engine.policies import Flapping, Inhibition, Name, Names, SomeNames, Step, escalation_faults, listed
from engine.rule_message import message_faults

_ZERO = timedelta(0)
#: As many as two bits each leave room for in one word (`engine.track`).
MOST_CONDITIONS = 30
_SLOWEST = timedelta(days=1)


class Severity(StrEnum):
    """How much it matters, worst first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"

    @property
    def milder(self) -> "Severity":
        """The next one; of the mildest, itself."""
        ranks = list(Severity)
        return ranks[min(ranks.index(self) + 1, len(ranks) - 1)]


class NoData(StrEnum):
    """What a rule without data is taken for."""

    OK = "ok"  # the condition does not hold
    NO_DATA = "no_data"  # a state of its own; an open incident stays open
    FIRING = "firing"  # the condition holds
    KEEP = "keep"  # nothing changes


class OnError(StrEnum):
    """What a rule that could not be evaluated is taken for."""

    ERROR = "error"  # a state of its own; an open incident stays open
    FIRING = "firing"  # the condition holds
    KEEP = "keep"  # nothing changes


def _texts(value: Any) -> Any:
    return (
        {key: written_value(v) if isinstance(v, int | bool) else v for key, v in value.items()}
        if _is_map(value)
        else value
    )


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)


Labels = Annotated[dict[Name, str], BeforeValidator(_texts)]


class Rule(Document):
    """One alert rule. Durations are timedeltas; `tz` is the zone of calendar windows."""

    name: Name
    severity: Severity = Severity.MEDIUM
    warn_severity: Severity | None = None
    where: Where = {}  # noqa: RUF012 - pydantic copies defaults
    when: Node
    group_by: Annotated[tuple[DimensionName, ...], BeforeValidator(listed)] = ()
    every: PositiveDuration = timedelta(seconds=60)
    for_: Duration = Field(_ZERO, alias="for")
    keep_firing_for: Duration = _ZERO
    delay: Duration = _ZERO
    no_data: NoData = NoData.OK
    on_error: OnError = OnError.ERROR
    cooldown: Duration = _ZERO
    repeat: Duration = _ZERO
    active: Active | None = None
    notify: Names = ()
    warn_notify: SomeNames | None = None
    fallback: Names = ()
    escalate: tuple[Step, ...] = ()
    flapping: Flapping | None = Flapping()
    inhibits: tuple[Inhibition, ...] = ()
    grouping: bool = True
    labels: Labels = {}  # noqa: RUF012 - as above
    message: Annotated[str, Field(max_length=4000)] = ""
    runbook: Annotated[str, Field(max_length=2000)] = ""
    tz: Zone = "UTC"

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of calendar windows."""
        return ZoneInfo(self.tz)

    @cached_property
    def placed(self) -> tuple[Placed, ...]:
        """Every condition with its path (`when.all[0]`), in document order."""
        return tuple(placed_conditions(self.when))

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """Every condition, in document order."""
        return tuple(condition for _, condition in self.placed)

    @cached_property
    def recovering(self) -> tuple[int, ...]:
        """The positions of the conditions with a recovery threshold."""
        return tuple(n for n, condition in enumerate(self.conditions) if condition.recovery is not None)

    @cached_property
    def levels(self) -> Mapping[str, "Rule"]:
        """By level, worst first, the rule as it is for that level alone; empty where no condition warns."""
        return {level.value: _of_level(self, level) for level in Level} if warns(self.conditions) else {}

    def of(self, labels: Mapping[str, str]) -> "Rule":
        """The rule as it is for a group with these labels: for its level, where there are levels."""
        return self.levels.get(labels.get(LEVEL, ""), self)


_MODELS = (Rule, Active, Step, Flapping, Inhibition, AllOf, AnyOf, Not, Condition, Compare)
#: What can change the result of an evaluation. `for` and the other timers are obeyed by the next step as they are.
_RESULT_FIELDS = ("where", "when", "group_by", "delay", "no_data", "on_error", "tz")


def parse(document: Mapping[str, Any] | str) -> Rule:
    """The rule a document (or its YAML or JSON text) describes; RuleError lists all of its faults."""
    return _parsed(document, _faults)


def kept(document: Mapping[str, Any] | str) -> Rule:
    """As `parse`, for what is stored: it is watched although its message may be no template, which its notices tell."""
    return _parsed(document, _contradictions)


def _parsed(document: Mapping[str, Any] | str, judge: Callable[[Rule], Iterator[Fault]]) -> Rule:
    raw = read_text(document) if isinstance(document, str) else dict(document)
    if why := oversize(raw):
        raise RuleError([Fault("", why)])
    try:
        rule = Rule.model_validate(raw)
    except ValidationError as error:
        raise RuleError(faults(error, _MODELS)) from error
    if found := tuple(judge(rule)):
        raise RuleError(found)
    return rule


def read_text(text: str) -> dict[str, Any]:
    """A YAML or JSON object; a RuleError if the text is none."""
    try:
        value = unique_yaml.load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: 2026-02-30, or digits without end
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise RuleError([Fault("", f"is not valid YAML{where}: {getattr(error, 'problem', None) or error}")]) from error
    if not isinstance(value, dict):
        raise RuleError([Fault("", "must be an object with fields, not a text or a list")])
    return value


def document(rule: Rule) -> dict[str, Any]:
    """The rule as plain values, defaults left out; `parse(document(rule)) == rule`."""
    return rule.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def to_json(rule: Rule) -> str:
    """The document as JSON text, as it is stored."""
    return json.dumps(document(rule), separators=(",", ":"), ensure_ascii=False)


def to_yaml(rule: Rule) -> str:
    """The document as YAML text, as people edit it."""
    return yaml.safe_dump(document(rule), sort_keys=False, allow_unicode=True, width=120)


def same_result(old: Rule, new: Rule) -> bool:
    """Whether an edit leaves evaluation as it was, so that instances may keep their state."""
    return all(getattr(old, field) == getattr(new, field) for field in _RESULT_FIELDS)


def scope(rule: Rule, condition: Condition) -> dict[str, tuple[str, ...]]:
    """What a condition looks at: the rule's `where` narrowed by its own."""
    scoped: dict[str, tuple[str, ...]] = dict(rule.where)
    for dimension, wanted in condition.where.items():
        outer = scoped.get(dimension, wanted)
        scoped[dimension] = tuple(value for value in wanted if value in outer)
    return scoped


def _of_level(rule: Rule, level: Level) -> Rule:
    """A warning is milder, goes where warnings go, and does not escalate."""
    fields = {name: getattr(rule, name) for name in Rule.model_fields}
    fields |= dict.fromkeys(WARN_FIELDS) | {"when": at_level(rule.when, level)}
    if level is Level.WARN:
        severity = rule.warn_severity or rule.severity.milder
        fields |= {"severity": severity, "notify": rule.warn_notify or rule.notify, "escalate": ()}
    return Rule.model_construct(**fields)


def _faults(rule: Rule) -> Iterator[Fault]:
    yield from _contradictions(rule)
    yield from message_faults(rule.message, {*rule.labels, *rule.group_by, *([LEVEL] if rule.levels else ())})


def _contradictions(rule: Rule) -> Iterator[Fault]:
    for field in ("group_by", "notify", "warn_notify", "fallback"):
        values = getattr(rule, field) or ()
        yield from (Fault(field, f"names {v!r} twice") for v in dict.fromkeys(values) if values.count(v) > 1)
    for label in rule.labels:
        if label in rule.group_by:
            yield Fault(f"labels.{label}", "is set by group_by; two groups would get the same labels")
    if len(rule.conditions) > MOST_CONDITIONS:
        yield Fault("when", f"has more than {MOST_CONDITIONS} conditions")
    if rule.every > _SLOWEST:
        yield Fault("every", "must be at most 1d")
    if not rule.notify:
        others = [field for field in ("warn_notify", "fallback") if getattr(rule, field)]
        yield from (Fault(field, "has no effect without notify") for field in others)
    yield from _dimension_faults(rule)
    yield from escalation_faults(rule.escalate, rule.notify)
    yield from _level_faults(rule)
    for path, condition in rule.placed:
        for dimension, values in scope(rule, condition).items():
            if not values:
                yield Fault(f"{path}.where.{dimension}", "leaves nothing of the rule's where")


def _level_faults(rule: Rule) -> Iterator[Fault]:
    yield from level_faults(rule.placed, rule.labels, {name: getattr(rule, name) for name in WARN_FIELDS})
    ranks = list(Severity)
    if rule.warn_severity and ranks.index(rule.warn_severity) < ranks.index(rule.severity):
        yield Fault("warn_severity", f"must not be worse than severity, which is {rule.severity}")


def _dimension_faults(rule: Rule) -> Iterator[Fault]:
    """Metrics of budgets and of providers' limits know of these and of nothing else; no other metric does."""
    own = {dimension.name for dimension in OWN_DIMENSIONS}
    for path, condition in rule.placed:
        measured = metric(condition.metric)
        for name in (*scope(rule, condition), *rule.group_by):
            if measured.dimensions and name not in measured.dimensions:
                yield Fault(
                    path, f"{condition.metric} can be split and filtered by {own_words(measured)}, not by {name}"
                )
            elif name in own and not measured.dimensions:
                yield Fault(path, f"{condition.metric} is about requests, so {name} has no meaning for it")
