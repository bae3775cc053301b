"""Where metrics come from that are not about requests: a source a kind."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import polars as pl

from data import budget_metrics, limit_metrics
from data.metrics import Kind
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


OWN_SOURCES: Final[Mapping[Kind, OwnSource]] = {Kind.BUDGET: budget_metrics, Kind.LIMIT: limit_metrics}


def answers(store: Reader, questions: Sequence[Question]) -> list[pl.DataFrame]:
    """The answers to questions that are not about requests, in their order."""
    found: dict[int, pl.DataFrame] = {}
    for kind, source in OWN_SOURCES.items():
        places = [place for place, question in enumerate(questions) if own_kind(question) is kind]
        found.update(zip(places, source.answers(store, [questions[place] for place in places]), strict=True))
    return [found[place] for place in range(len(questions))]
