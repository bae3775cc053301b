"""Made-up histories that answer as the store does: the same value for one window, asked for alone or in a series."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from data.question import Question
from data.store import Store
from engine.evaluate import Answer, Failure
from engine.window import Window

START = datetime(2026, 3, 2, tzinfo=UTC)
ABSENT = object()


Where = Mapping[str, Sequence[str]]


class World:
    """Values that stay for a few minutes, then change; sometimes there is no row, sometimes a row without a value.

    Other requests (`where`) have other values. So many in a hundred evaluations are `failing` for a metric.
    """

    def __init__(
        self, seed: int, models: tuple[str, ...] = ("a", "b", "c"), block: int = 3, failing: float = 0
    ) -> None:
        self.seed, self.models, self.block, self.failing = seed, models, block, failing

    def _random(self, what: object, *edges: datetime) -> Random:
        blocks = [(edge - START) // timedelta(minutes=1) // self.block for edge in edges]
        return Random(f"{self.seed} {what} {blocks}")

    def value(self, metric: str, start: datetime, end: datetime, group: tuple[str, ...], where: Where) -> Any:
        among = sorted((name, tuple(values)) for name, values in where.items())
        return self._random((metric, group, among), start, end).choice([0, 5, 10, 15, 20, 20, 0, None, ABSENT, ABSENT])

    def rows(
        self, metric: str, start: datetime, end: datetime, by: tuple[str, ...], where: Where
    ) -> list[tuple[Any, ...]]:
        groups = product(*[self.models, ("x", "y")][: len(by)])
        values = [(*group, self.value(metric, start, end, group, where)) for group in groups]
        return [row for row in values if row[-1] is not ABSENT]

    def answer(self, question: Question) -> pl.DataFrame | Failure:
        (metric,) = question.metrics
        if self._random(("fails", metric), question.end).random() * 100 < self.failing:
            return Failure("it could not be read")
        found = self.rows(metric, question.start, question.end, question.by, question.where)
        return frame([*question.by, metric], found)

    def asking(self, _: Store, asked: Sequence[Sequence[Question]]) -> list[list[Answer]]:
        """As `engine.tick.ask` answers."""
        return [[self.answer(question) for question in part] for part in asked]

    def series(
        self,
        *,
        metric: str,
        window: Window,
        by: tuple[str, ...],
        where: Where,
        start: datetime,
        end: datetime,
        step: timedelta,
        tz: str,
    ) -> pl.DataFrame:
        ticks = [start + n * step for n in range(-((start - end) // step))]
        spans = [window.span(tick, ZoneInfo(tz)) for tick in ticks]
        return frame(
            ["time", *by, "value"],
            [
                (t, *row)
                for t, s in zip(ticks, spans, strict=True)
                for row in self.rows(metric, s.start, s.end, by, where)
            ],
        )


def frame(columns: list[str], rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    """Rows as the query layer types them."""
    schema = {c: pl.Datetime("us", "UTC") if c == "time" else pl.String() for c in columns[:-1]}
    return pl.DataFrame(rows, schema={**schema, columns[-1]: pl.Float64()}, orient="row")
