"""Many questions over the same time from one read: what a tick of rules, or a page, asks at once.

The ledger's sums over [start, end) are read once, kept apart by every dimension that one of the questions needs; each
question then filters and adds up what is its own, here. Sums of sums are the same sums.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from data.dimensions import dimension
from data.errors import RowLimitExceeded
from data.finish import measures_of, quantiles
from data.metrics import Kind, Metric
from data.pieces import Scope
from data.question import Question
from data.reads import Family, Reader, counts_sql, sums_sql

#: Where the dimensions are so many that a shared read has more rows than this, each question is asked alone.
MOST_ROWS = 200_000
#: One question gains nothing from sharing.
FEWEST = 2

Range = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Source:
    """What was read for all questions over one time: summed measures and latency bucket counts, by dimension."""

    sums: pl.DataFrame | None
    counts: pl.DataFrame | None

    def answer(self, family: Family, question: Question, metrics: Sequence[Metric]) -> pl.DataFrame:
        """The family's metrics as `data.reads.ask` gives them."""
        if Kind.QUANTILE in family.kinds:
            return quantiles(_own(self.counts, question), question.by, metrics).select(_columns(question, metrics))
        measures = [pl.col(name).sum() for name in measures_of(metrics)]
        own = _own(self.sums, question)
        summed = own.group_by(question.by).agg(measures) if question.by else own.select(measures)
        return family.finish(summed, question, metrics).select(_columns(question, metrics))


def shareable(question: Question, metrics: Iterable[Metric]) -> bool:
    """Whether it can be answered from sums by dimension: the rollups know what it needs, and it has no time buckets."""
    known = all(dimension(name).in_rollups for name in question.dimensions)
    return known and question.grain is None and all(m.measures or m.kind is Kind.QUANTILE for m in metrics)


def sources(store: Reader, questions: Sequence[tuple[Question, Sequence[Metric]]]) -> dict[Range, Source]:
    """One read (two with percentiles) a range that several of these questions, all shareable, ask about."""
    ranges: dict[Range, list[tuple[Question, Sequence[Metric]]]] = defaultdict(list)
    for question, metrics in questions:
        ranges[question.start, question.end].append((question, metrics))
    found = {}
    for span, asked in ranges.items():
        if len(asked) < FEWEST:
            continue
        try:
            found[span] = _source(store, span, asked)
        except RowLimitExceeded:
            continue
    return found


def _source(store: Reader, span: Range, asked: Sequence[tuple[Question, Sequence[Metric]]]) -> Source:
    summing = [(q, own) for q, metrics in asked if (own := [m for m in metrics if m.measures])]
    ranking = [(q, own) for q, metrics in asked if (own := [m for m in metrics if m.kind is Kind.QUANTILE])]
    sums = counts = None
    if summing:
        measures = measures_of(m for _, own in summing for m in own)
        sql = sums_sql(_scope(span, [q for q, _ in summing]), measures)
        sums = store.sql(sql.text, sql.params, max_rows=MOST_ROWS)
    if ranking:
        sql = counts_sql(_scope(span, [q for q, _ in ranking]), (m.of[0] for _, own in ranking for m in own))
        counts = store.sql(sql.text, sql.params, max_rows=MOST_ROWS)
    return Source(sums, counts)


def _scope(span: Range, questions: Sequence[Question]) -> Scope:
    """Everything the questions need; what all of them leave out is not read."""
    names = sorted({name for question in questions for name in question.dimensions})
    common = {
        name: tuple(sorted({value for q in questions for value in q.where[name]}))
        for name in names
        if all(name in q.where for q in questions)
    }
    return Scope(*span, tuple(names), where=common)


def _own(frame: pl.DataFrame | None, question: Question) -> pl.DataFrame:
    if frame is None:
        raise ValueError("the source was not read for this question")
    if not question.where:
        return frame
    return frame.filter(pl.col(name).is_in(list(wanted)) for name, wanted in question.where.items())


def _columns(question: Question, metrics: Sequence[Metric]) -> list[str]:
    return [*question.by, *(m.name for m in metrics)]
