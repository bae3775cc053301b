"""Tests for rules, written beside them: made-up values, and the states and notices they should lead to.

    rule: {name: High cost, when: {metric: cost, window: 5m, op: ">", value: 10}, for: 2m, notify: [mail]}
    series:
      - {metric: cost, values: "1x2 11x4 _ 1"}      # one value an evaluation, from `start`
    expect:
      - {at: 3m, state: pending}
      - {at: 4m, state: firing}
    notices:
      - {at: 4m, channel: mail, reason: first}
      - {at: 6m, channel: mail, reason: resolved}

Values: `5` once, `5x3` three times, `5+2x3` is 5 7 9, `5-2x3` is 5 3 1, `_` no requests, `error` a measurement that
fails (`errorx3` three times). A series is for one metric, and where conditions on it differ, for one `window`; `labels`
name its group. `values` are what a condition sees; `each` instead is what came between two evaluations, and the
windows, also calendar ones, add it up. Where one group's measurement fails, that evaluation's fails for all groups, as
one question asks for all of them. Expected notices are all there may be, where any are given.

`events` happen before the evaluation at their time: `{at: 10m, acknowledge: {for: 1h}}`, `resolve: {}`,
`silence: {for: 1h}`, `edit: {for: 5m}` (fields of the rule but `every`), `restart: 30m` (nobody evaluates so long),
`clock: -5m` (the clock is set back or ahead). Every `at` counts what has passed since the start, whatever the clock
says. `limits` are what channels take, where that is not the usual: `limits: {mail: {burst: 1, per_minute: 0.5}}`; what
is held back comes with the reason `digest`, for no group. In place of `rule` there may be a `template` with what is
`set`, or a `rule_file` and the `rule_name` in it.

What could never fail is a fault: a scenario that expects nothing, a series that no condition reads, a state after the
last value, labels other than the rule's groups have. Where the rule warns, expectations name the `level` too.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, InstanceOf, PlainValidator, ValidationError, model_validator

from data.metrics import Kind, metric
from engine import rule_files, rule_templates
from engine.condition import Document, MetricName
from engine.digest import DIGEST
from engine.durations import Duration, PositiveDuration, duration, written
from engine.errors import Fault, NotFound, RuleError
from engine.faults import faults
from engine.levels import LEVEL
from engine.rule import Labels, Rule, parse, read_text
from engine.rule import document as rule_document
from engine.scenario_limits import Taking, ToldReason, idle_limits
from engine.scenario_values import Failed, Value, Values
from engine.state import State
from engine.window import WindowText


class _OfGroup(Document):
    labels: Labels = {}  # noqa: RUF012 - pydantic copies defaults


class GivenSeries(_OfGroup):
    """Made-up values of a metric for one group, one an evaluation; None: no requests, FAILED: no answer.

    `values` are those of the window; `each` is what came since the evaluation before, for the window to add up.
    """

    metric: MetricName
    window: WindowText | None = None
    values: Values | None = None
    each: Values | None = None

    @model_validator(mode="after")
    def _has_one(self) -> "GivenSeries":
        if (self.values is None) is (self.each is None):
            raise ValueError("needs either values or each")
        return self

    @property
    def given(self) -> tuple[Value, ...]:
        """Whichever it has."""
        return self.values or self.each or ()

    def fails(self, number: int) -> bool:
        """Whether the measurement fails at this evaluation."""
        return number < len(self.given) and self.given[number] is Failed.FAILED


class ExpectedState(_OfGroup):
    """The state a group should be in after the evaluation at `at`, counted from the start."""

    at: Duration
    state: State


class ExpectedNotice(_OfGroup):
    """What a channel should have been told, or why not; a digest is about no group."""

    at: Duration
    channel: str
    reason: ToldReason


class Acknowledging(_OfGroup):
    """Somebody takes the open incidents on: for so long, or until they resolve."""

    length: PositiveDuration | None = Field(None, alias="for")


class Silencing(Document):
    """A silence begins; without matchers it is the rule's."""

    length: PositiveDuration = Field(alias="for")
    matchers: Labels = {}  # noqa: RUF012 - as above


def _jump(text: Any) -> timedelta:
    sign = -1 if isinstance(text, str) and text.startswith("-") else 1
    return sign * duration(text.lstrip("+-") if isinstance(text, str) else text)


class Event(Document):
    """One thing that happens besides evaluations, before the one at `at`."""

    at: Duration
    acknowledge: Acknowledging | None = None
    resolve: _OfGroup | None = None
    silence: Silencing | None = None
    edit: dict[str, Any] | None = None
    restart: PositiveDuration | None = None
    clock: Annotated[timedelta, PlainValidator(_jump)] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "Event":
        if len(self.model_fields_set) != 2:
            raise ValueError("needs at and one of acknowledge, resolve, silence, edit, restart, clock")
        return self


class Scenario(Document):
    """A rule, what happens, and what should come of it."""

    name: str = ""
    rule: InstanceOf[Rule]
    start: AwareDatetime = datetime(2026, 1, 1, tzinfo=UTC)
    series: tuple[GivenSeries, ...] = Field(min_length=1)
    events: tuple[Event, ...] = ()
    limits: dict[str, Taking] = {}  # noqa: RUF012 - as above
    expect: tuple[ExpectedState, ...] = ()
    notices: tuple[ExpectedNotice, ...] = ()

    @property
    def length(self) -> int:
        """How many evaluations there are."""
        return max(len(series.given) for series in self.series)

    @property
    def is_replayable(self) -> bool:
        """Whether nothing happens in it but what history knows of: that silences begin."""
        fails = any(Failed.FAILED in series.given for series in self.series)
        return not fails and all(event.silence for event in self.events)


_MODELS = (Scenario, GivenSeries, ExpectedState, ExpectedNotice, Event, Acknowledging, Silencing, Taking)


def read(document: Mapping[str, Any] | str, folder: Path | None = None) -> Scenario:
    """The scenario a document (or its YAML text) describes; RuleError lists its faults, the rule's before others.

    `folder` is where a `rule_file` is looked for.
    """
    raw = read_text(document) if isinstance(document, str) else dict(document)
    rule = _rule(raw, folder)
    try:
        scenario = Scenario.model_validate({**raw, "rule": rule} if rule else raw)
    except ValidationError as error:
        raise RuleError(faults(error, _MODELS)) from error
    if idle := tuple(_idle(scenario)):
        raise RuleError(idle)
    return scenario


def read_file(path: Path) -> list[Scenario]:
    """All scenarios of a file, one a document; RuleError tells the faults of all with their lines."""
    scenarios: list[Scenario] = []
    found: list[Fault] = []
    for place, raw in rule_files.documents(rule_files.text_of(path, path.name), path.name):
        try:
            scenarios.append(read(raw if isinstance(raw, dict) else {}, path.parent))
        except RuleError as error:
            found += rule_files.at(place, error.faults)
    if found or not scenarios:
        raise RuleError(found or [Fault(path.name, "holds no scenario")])
    return scenarios


def _rule(raw: dict[str, Any], folder: Path | None) -> Rule | None:
    """The rule that a scenario is about; takes out of `raw` what only names it."""
    try:
        if "template" in raw:
            return rule_templates.get(str(raw.pop("template"))).made(_object(raw.pop("set", {})))
        if "rule_file" in raw:
            return _of_file(str(raw.pop("rule_file")), raw.pop("rule_name", None), folder or Path())
        return parse(raw["rule"]) if isinstance(raw.get("rule"), dict) else None
    except NotFound as error:
        raise RuleError([Fault("template", str(error))]) from error
    except RuleError as error:
        raise RuleError(Fault(f"rule.{fault.path}".rstrip("."), fault.message) for fault in error.faults) from error


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RuleError([Fault("set", "must be an object with fields")])
    return value


def _of_file(file: str, name: object, folder: Path) -> Rule:
    drafts = rule_files.read_file(folder / file, file)
    found = [draft.rule for draft in drafts if name in (None, draft.rule.name)]
    if len(found) != 1:
        known = ", ".join(draft.rule.name for draft in drafts)
        raise RuleError([Fault("", f"rule_name must be one of the rules in {file}: {known}")])
    return found[0]


def _idle(scenario: Scenario) -> Iterator[Fault]:
    """What is written but can show nothing, or cannot happen."""
    if not (scenario.expect or scenario.notices):
        yield Fault("", "expects nothing; write expect, notices or both")
    for n, series in enumerate(scenario.series):
        yield from (Fault(f"series[{n}]{path}", why) for path, why in _idle_series(scenario.rule, series))
    for field in ("series", "expect", "notices"):
        yield from _strange_labels(scenario.rule, field, getattr(scenario, field))
    yield from idle_limits(scenario.rule, scenario.limits)
    last = (scenario.length - 1) * scenario.rule.every
    for n, expected in enumerate(scenario.expect):
        if expected.at > last:
            yield Fault(f"expect[{n}].at", f"comes after the last value, which is at {written(last)}")
    for n, event in enumerate(scenario.events):
        if event.edit is not None:
            yield from (Fault(f"events[{n}].edit.{f.path}", f.message) for f in _faults_of(scenario.rule, event.edit))
        if "every" in (event.edit or {}):
            yield Fault(f"events[{n}].edit.every", "cannot change: values are one an evaluation, from first to last")


def _idle_series(rule: Rule, series: GivenSeries) -> Iterator[tuple[str, str]]:
    if not any(c.metric == series.metric and series.window in (None, c.window) for c in rule.conditions):
        yield "", f"is of {series.metric}, which no condition of the rule reads like that"
    if series.each is not None and metric(series.metric).kind is not Kind.SUM:
        yield ".each", f"cannot be added up to {series.metric}; give its values"


def _strange_labels(rule: Rule, field: str, parts: Sequence[_OfGroup]) -> Iterator[Fault]:
    by_level = bool(rule.levels) and field != "series"
    groups = {*rule.group_by, *([LEVEL] if by_level else ())}
    for n, part in enumerate(parts):
        if isinstance(part, ExpectedNotice) and part.reason == DIGEST and not part.labels:
            continue
        if set(part.labels) != groups:
            wanted = ", ".join(sorted(groups)) or "nothing"
            yield Fault(
                f"{field}[{n}].labels", f"must name {wanted}, as group_by {'and warn do' if by_level else 'does'}"
            )
        elif by_level and part.labels[LEVEL] not in rule.levels:
            yield Fault(f"{field}[{n}].labels.{LEVEL}", f"must be one of {', '.join(rule.levels)}")


def edited(rule: Rule, fields: Mapping[str, Any]) -> Rule:
    """The rule with other fields; None takes one out. Raises RuleError."""
    return parse({name: value for name, value in {**rule_document(rule), **fields}.items() if value is not None})


def _faults_of(rule: Rule, fields: Mapping[str, Any]) -> tuple[Fault, ...]:
    try:
        edited(rule, fields)
    except RuleError as error:
        return error.faults
    return ()
