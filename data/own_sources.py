"""Where metrics come from that are not about requests: a source a kind."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

import polars as pl

from data import budget_metrics, limit_metrics
from data.metrics import RULE_METRICS, Kind
from data.question import Question, own_kind
from data.reads import Reader
from data.sliding import Windows


class OwnSource(Protocol):
    """Answers questions about metrics of one kind, one by one and at many instants."""

    def answers(self, store: Reader, questions: Sequence[Question]) -> list[pl.DataFrame]:
        """The answers, in the questions' order, as `data.query.answer` has them."""
        ...

    def series(
        self, store: Reader, name: str, windows: Windows, by: Sequence[str], where: Mapping[str, Sequence[str]]
    ) -> pl.DataFrame:
        """Columns time (the end of each window), *by, value (Float64)."""
        ...

    def labels(self, store: Reader, dimension: str, start: datetime, end: datetime) -> list[str]:
        """The values in [start, end) of a dimension that only these metrics have, in order; '' left out."""
        ...


OWN_SOURCES: Final[Mapping[Kind, OwnSource]] = {Kind.BUDGET: budget_metrics, Kind.LIMIT: limit_metrics}


def answers(store: Reader, questions: Sequence[Question]) -> list[pl.DataFrame]:
    """The answers to questions that are not about requests, in their order."""
    found: dict[int, pl.DataFrame] = {}
    for kind, source in OWN_SOURCES.items():
        places = [place for place, question in enumerate(questions) if own_kind(question) is kind]
        found.update(zip(places, source.answers(store, [questions[place] for place in places]), strict=True))
    return [found[place] for place in range(len(questions))]


def values(store: Reader, dimension: str, start: datetime, end: datetime) -> list[str]:
    """The values in [start, end) of one of `data.dimensions.OWN_DIMENSIONS`, in order; '' left out."""
    kind = next(each.kind for each in RULE_METRICS if dimension in each.dimensions)
    return OWN_SOURCES[kind].labels(store, dimension, start, end)
