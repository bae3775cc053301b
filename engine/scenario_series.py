"""A scenario's made-up values, as the simulator asks for history and as an evaluation asks for answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from data.question import Question
from engine.condition import Condition
from engine.evaluate import Answer, Failure, questions, shifts
from engine.rule import Rule
from engine.scenario import GivenSeries, Scenario
from engine.scenario_values import Value
from engine.window import Window

_FAILURE = Failure("the measurement failed, as the scenario says")
Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """The values of one scenario; as a `engine.history.Series` it answers the simulator."""

    scenario: Scenario

    def __call__(
        self,
        *,
        metric: str,
        window: Window,
        by: tuple[str, ...],
        where: Mapping[str, tuple[str, ...]],
        start: datetime,
        end: datetime,
        step: timedelta,
        tz: str,
    ) -> pl.DataFrame:
        """Columns time, *by, value at start, start + step, … before `end`."""
        del where
        zone = ZoneInfo(tz)
        rows: list[Row] = []
        at = start
        while at < end:
            span = window.span(at, zone)
            rows += [(at, *row) for row in self._rows(metric, window, by, self._number(at), span.start, span.end)]
            at += step
        text = {name: pl.String() for name in by}
        return pl.DataFrame(
            rows, schema={"time": pl.Datetime("us", "UTC"), **text, "value": pl.Float64()}, orient="row"
        )

    def answers(self, rule: Rule, at: datetime, number: int) -> list[Answer]:
        """What an evaluation of the rule at `at` is answered, which is the `number`-th since the start."""
        asked = iter(questions(rule, at))
        return [
            _FAILURE
            if self._fails(condition, number)
            else self._answer(rule, condition, number + (-shift) // self.scenario.rule.every, question)
            for condition in rule.conditions
            for shift, question in zip(shifts(rule, condition, at), asked, strict=False)
        ]

    def _fails(self, condition: Condition, number: int) -> bool:
        """Whether what the condition asks at an evaluation has no answer, be it about now or about an earlier time."""
        return any(
            series.fails(number)
            for series in self.scenario.series
            if series.metric == condition.metric and series.window in (None, condition.window)
        )

    def _answer(self, rule: Rule, condition: Condition, number: int, question: Question) -> pl.DataFrame:
        rows = list(self._rows(condition.metric, condition.window, rule.group_by, number, question.start, question.end))
        text = {name: pl.String() for name in rule.group_by}
        return pl.DataFrame(rows, schema={**text, condition.metric: pl.Float64()}, orient="row")

    def _number(self, at: datetime) -> int:
        return (at - self.scenario.start) // self.scenario.rule.every

    def _rows(  # noqa: PLR0917 - a window and where it lies
        self, metric: str, window: Window, by: Sequence[str], number: int, start: datetime, end: datetime
    ) -> Iterator[Row]:
        for series in self.scenario.series:
            if series.metric == metric and series.window in (None, window):
                value = _at(series.values, number) if series.values else self._sum(series, start, end)
                if value is not None:
                    yield *(series.labels.get(name, "") for name in by), value

    def _sum(self, series: GivenSeries, start: datetime, end: datetime) -> float | None:
        """What came in [start, end); each amount came half an interval before its evaluation."""
        first, every = self.scenario.start, self.scenario.rule.every
        came = [
            amount
            for n, amount in enumerate(series.each or ())
            if isinstance(amount, float) and start <= first + n * every - every / 2 < end
        ]
        return sum(came) if came else None


def _at(values: Sequence[Value], number: int) -> float | None:
    value = values[number] if 0 <= number < len(values) else None
    return value if isinstance(value, float) else None
