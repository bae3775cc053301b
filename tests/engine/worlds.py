"""Made-up histories that answer as the store does: the same value for one window, asked for alone or in a series."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import polars as pl

from data.question import Question
from engine.evaluate import Failure
from engine.window import Rolling, Window

START = datetime(2026, 3, 2, tzinfo=UTC)
ABSENT = object()


class World:
    """Values that stay for a few minutes, then change; sometimes there is no row, sometimes a row without a value."""

    def __init__(self, seed: int, models: tuple[str, ...] = ("a", "b", "c"), block: int = 3) -> None:
        self.seed, self.models, self.block = seed, models, block

    def value(self, metric: str, length: timedelta, model: str, end: datetime) -> Any:
        block = (end - START) // timedelta(minutes=1) // self.block
        random = Random(f"{self.seed} {metric} {length} {model} {block}")
        return random.choice([0, 5, 10, 15, 20, 20, 0, None, ABSENT, ABSENT])

    def rows(self, metric: str, length: timedelta, by: tuple[str, ...], end: datetime) -> list[tuple[Any, ...]]:
        groups = [(model,) for model in self.models] if by else [()]
        values = [(*group, self.value(metric, length, group[0] if group else "", end)) for group in groups]
        return [row for row in values if row[-1] is not ABSENT]

    def answer(self, question: Question) -> pl.DataFrame | Failure:
        (metric,) = question.metrics
        rows = self.rows(metric, question.end - question.start, question.by, question.end)
        return frame([*question.by, metric], rows)

    def series(
        self,
        *,
        metric: str,
        window: Window,
        by: tuple[str, ...],
        start: datetime,
        end: datetime,
        step: timedelta,
        **_: object,
    ) -> pl.DataFrame:
        assert isinstance(window, Rolling)
        ticks = [start + n * step for n in range(-((start - end) // step))]
        return frame(
            ["time", *by, "value"], [(t, *row) for t in ticks for row in self.rows(metric, window.length, by, t)]
        )


def frame(columns: list[str], rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    """Rows as the query layer types them."""
    schema = {c: pl.Datetime("us", "UTC") if c == "time" else pl.String() for c in columns[:-1]}
    return pl.DataFrame(rows, schema={**schema, columns[-1]: pl.Float64()}, orient="row")
