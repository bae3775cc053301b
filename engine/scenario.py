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

Values: `5` once, `5x3` three times, `5+2x3` is 5 7 9, `5-2x3` is 5 3 1, `_` no requests. A series is for one metric,
and where conditions on it differ, for one `window`; `labels` name its group. Expected notices are all there may be,
where any are given. What could never fail is a fault: a scenario that expects nothing, a series that no condition
reads, a state after the last value, labels other than the rule's groups have.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import polars as pl
from pydantic import AwareDatetime, Field, InstanceOf, PlainValidator, ValidationError

from engine.condition import Document, MetricName
from engine.durations import Duration, written
from engine.errors import Fault, RuleError
from engine.faults import faults
from engine.history import Grid, load
from engine.notify import Reason
from engine.rule import Labels, Rule, parse, read_text
from engine.simulate import Simulation, replay
from engine.state import State
from engine.window import Window, WindowText

_VALUE = re.compile(
    r"(?P<first>-?\d+(?:\.\d+)?)(?:(?P<by>[+-]\d+(?:\.\d+)?)?x(?P<times>\d{1,6}))?|_(?:x(?P<gap>\d{1,6}))?"
)
_MOST_VALUES = 100_000


def _values(text: Any) -> tuple[float | None, ...]:
    values = tuple(value for token in str(text).split() for value in _repeated(token))
    if not 0 < len(values) <= _MOST_VALUES:
        raise ValueError(f"must be 1 to {_MOST_VALUES} values")
    return values


def _repeated(token: str) -> Iterator[float | None]:
    match = _VALUE.fullmatch(token)
    if match is None:
        raise ValueError(f"{token!r} is not a value; write 5, 5x3, 5+2x3 or _")
    if match["first"] is None:
        yield from [None] * int(match["gap"] or 1)
        return
    for n in range(int(match["times"] or 1)):
        yield float(match["first"]) + n * float(match["by"] or 0)


class _OfGroup(Document):
    labels: Labels = {}  # noqa: RUF012 - pydantic copies defaults


class GivenSeries(_OfGroup):
    """Made-up values of a metric for one group, one an evaluation; None: no requests."""

    metric: MetricName
    window: WindowText | None = None
    values: Annotated[tuple[float | None, ...], PlainValidator(_values)]


class ExpectedState(_OfGroup):
    """The state a group should be in after the evaluation at `at`, counted from the start."""

    at: Duration
    state: State


class ExpectedNotice(_OfGroup):
    """What a channel should have been told, or why not."""

    at: Duration
    channel: str
    reason: Reason


class Scenario(Document):
    """A rule, what happens, and what should come of it."""

    name: str = ""
    rule: InstanceOf[Rule]
    start: AwareDatetime = datetime(2026, 1, 1, tzinfo=UTC)
    series: tuple[GivenSeries, ...] = Field(min_length=1)
    expect: tuple[ExpectedState, ...] = ()
    notices: tuple[ExpectedNotice, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation and what was found; `what` says which, in words."""

    what: str
    expected: str
    found: str

    @property
    def passed(self) -> bool:
        """Whether it came as expected."""
        return self.expected == self.found


def read(document: Mapping[str, Any] | str) -> Scenario:
    """The scenario a document (or its YAML text) describes; RuleError lists its faults, the rule's before others."""
    raw = read_text(document) if isinstance(document, str) else dict(document)
    try:
        rule = parse(raw["rule"]) if isinstance(raw.get("rule"), dict) else None
        scenario = Scenario.model_validate({**raw, "rule": rule} if rule else raw)
    except RuleError as error:
        raise RuleError(Fault(f"rule.{path}", message) for path, message in error.faults) from error
    except ValidationError as error:
        raise RuleError(faults(error, (Scenario, GivenSeries, ExpectedState, ExpectedNotice))) from error
    if idle := tuple(_idle(scenario)):
        raise RuleError(idle)
    return scenario


def _idle(scenario: Scenario) -> Iterator[Fault]:
    """What is written but can show nothing."""
    if not (scenario.expect or scenario.notices):
        yield Fault("", "expects nothing; write expect, notices or both")
    for n, series in enumerate(scenario.series):
        if not any(c.metric == series.metric and series.window in (None, c.window) for c in scenario.rule.conditions):
            yield Fault(f"series[{n}]", f"is of {series.metric}, which no condition of the rule reads like that")
    groups = set(scenario.rule.group_by)
    for field in ("series", "expect", "notices"):
        parts: tuple[_OfGroup, ...] = getattr(scenario, field)
        for n, part in enumerate(parts):
            if set(part.labels) != groups:
                yield Fault(
                    f"{field}[{n}].labels", f"must name {', '.join(sorted(groups)) or 'nothing'}, as group_by does"
                )
    last = (_length(scenario) - 1) * scenario.rule.every
    for n, expected in enumerate(scenario.expect):
        if expected.at > last:
            yield Fault(f"expect[{n}].at", f"comes after the last value, which is at {written(last)}")


def _length(scenario: Scenario) -> int:
    return max(len(series.values) for series in scenario.series)


def run(scenario: Scenario) -> list[Check]:
    """Replay the rule over the made-up values and hold it to what is expected."""
    end = scenario.start + _length(scenario) * scenario.rule.every
    grid = Grid(scenario.start, end, scenario.rule.every)
    found = replay(scenario.rule, load(scenario.rule, _Given(scenario), grid))
    states = [_checked_state(scenario, found, expected) for expected in scenario.expect]
    return states + (_checked_notices(scenario, found) if scenario.notices else [])


class _Given:
    """The made-up values as a source of history."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    def __call__(
        self, *, metric: str, window: Window, by: tuple[str, ...], start: datetime, end: datetime, **_: object
    ) -> pl.DataFrame:
        rows = [row for row in self._rows(metric, window, by) if start <= row[0] < end]
        text = {name: pl.String() for name in by}
        schema = {"time": pl.Datetime("us", "UTC"), **text, "value": pl.Float64()}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def _rows(self, metric: str, window: Window, by: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        for series in self._scenario.series:
            if series.metric == metric and series.window in (None, window):
                group = tuple(series.labels.get(name, "") for name in by)
                for n, value in enumerate(series.values):
                    if value is not None:
                        yield self._scenario.start + n * self._scenario.rule.every, *group, value


def _checked_state(scenario: Scenario, found: Simulation, expected: ExpectedState) -> Check:
    at = scenario.start + expected.at
    labels = dict(expected.labels)
    states = [band.state for band in found.bands if dict(band.labels) == labels and band.start <= at < band.end]
    return Check(f"{_of(labels)}at {written(expected.at)}", expected.state.value, (states or [State.NORMAL])[0].value)


def _checked_notices(scenario: Scenario, found: Simulation) -> list[Check]:
    told = {(n.time - scenario.start, _of(n.labels), n.channel): n.reason.value for n in found.notices}
    wanted = {(n.at, _of(n.labels), n.channel): n.reason.value for n in scenario.notices}
    return [
        Check(f"{channel} {of}at {written(at)}", wanted.get((at, of, channel), "-"), told.get((at, of, channel), "-"))
        for at, of, channel in sorted({**told, **wanted})
    ]


def _of(labels: Mapping[str, str]) -> str:
    return "".join(f"{name}={value} " for name, value in sorted(labels.items()))
