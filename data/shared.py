"""Many questions over the same time from one read: what a tick of rules, or a page, asks at once.

The ledger's sums over [start, end) are read once, kept apart by every dimension that one of the questions needs; each
question then filters and adds up what is its own, here. Sums of sums are the same sums. Questions that differ only in
the values they let through are added up in one go (`Source.batch`): a frame's every operation costs as much as a
thousand rows.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
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

#: A batch is added up in parts of at most about as many rows.
AT_ONCE = 200_000
#: Whose a row of a batch is: the question's place in it. No dimension or metric has this name.
PLACE = " place"

Range = tuple[datetime, datetime]
Reading = tuple[datetime, datetime, frozenset[str]]
Asked = tuple[Question, Sequence[Metric]]


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

    def batch(
        self, family: Family, question: Question, metrics: Sequence[Metric], asked: Sequence[Question]
    ) -> pl.DataFrame:
        """As `answer` for each of `asked`, which are of one shape; `question` is theirs, with PLACE before its `by`."""
        places, single = _places(len(asked)), not asked[0].by
        if Kind.QUANTILE in family.kinds:
            counts = _apart(self.counts, asked, ["bucket"], sorted({m.of[0] for m in metrics}))
            found = quantiles(counts, question.by, metrics)
            found = places.join(found, on=PLACE, how="left") if single else found
        else:
            summed = _apart(self.sums, asked, [], measures_of(metrics))
            found = family.finish(_with_zeros(places, summed) if single else summed, question, metrics)
        return found.select(_columns(question, metrics))


def shape(question: Question, metrics: Iterable[Metric]) -> Hashable:
    """Equal for questions that one batch can answer: they read alike, and differ in the values they let through."""
    kinds = frozenset(m.kind is Kind.QUANTILE for m in metrics)
    return question.start, question.end, question.by, frozenset(question.where), kinds


def shareable(question: Question, metrics: Iterable[Metric]) -> bool:
    """Whether it can be answered from sums by dimension: the rollups know what it needs, and it has no time buckets."""
    known = all(dimension(name).in_rollups for name in question.dimensions)
    return known and question.grain is None and all(m.measures or m.kind is Kind.QUANTILE for m in metrics)


def reading(question: Question) -> Reading:
    """What of the ledger it needs to know: the key of its source."""
    return question.start, question.end, question.dimensions


def sources(store: Reader, questions: Sequence[Asked]) -> dict[Reading, Source]:
    """What these questions, all shareable, can be answered from: one read a range (two with percentiles).

    Where that has too many rows, one for each set of dimensions that no other contains; what even then has too many,
    or is asked by one question only, is left out.
    """
    ranges: dict[Range, list[Asked]] = defaultdict(list)
    for question, metrics in questions:
        ranges[question.start, question.end].append((question, metrics))
    found: dict[Reading, Source] = {}
    for span, asked in ranges.items():
        found.update(_shared(store, span, asked) or _shared_by_dimensions(store, span, asked))
    return found


def _shared(store: Reader, span: Range, asked: Sequence[Asked]) -> dict[Reading, Source]:
    if len(asked) < FEWEST:
        return {}
    try:
        source = _source(store, span, asked)
    except RowLimitExceeded:
        return {}
    return {reading(question): source for question, _ in asked}


def _shared_by_dimensions(store: Reader, span: Range, asked: Sequence[Asked]) -> dict[Reading, Source]:
    sets = {question.dimensions for question, _ in asked}
    largest = [names for names in sets if not any(names < others for others in sets)]
    if len(largest) == 1:
        return {}
    found: dict[Reading, Source] = {}
    for names in sorted(largest, key=sorted):
        rest = [one for one in asked if one[0].dimensions <= names and reading(one[0]) not in found]
        found.update(_shared(store, span, rest))
    return found


def _source(store: Reader, span: Range, asked: Sequence[Asked]) -> Source:
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


def _apart(
    frame: pl.DataFrame | None, asked: Sequence[Question], keys: Sequence[str], measures: Sequence[str]
) -> pl.DataFrame:
    """PLACE, the questions' `by`, keys, and the measures of what each lets through."""
    if frame is None:
        raise ValueError("the source was not read for these questions")
    names, totals = sorted(asked[0].where), [pl.col(name).sum() for name in measures]
    kept = list(dict.fromkeys([*names, *asked[0].by, *keys]))
    frame = frame.group_by(kept).agg(totals) if kept else frame.select(totals)
    many = max(1, AT_ONCE // max(1, frame.height))
    parts = [_let_through(frame, asked[n : n + many], names, n) for n in range(0, len(asked), many)]
    own = [PLACE, *asked[0].by, *keys]
    return pl.concat([part.group_by(own).agg(totals) for part in parts])


def _let_through(frame: pl.DataFrame, asked: Sequence[Question], names: Sequence[str], first: int) -> pl.DataFrame:
    """The rows that each question lets through, with its PLACE; one row may be let through by many."""
    if not names:
        return frame.join(_places(len(asked), first), how="cross")
    rows = frame.join(_wanted(asked, names[0], first), on=names[0])
    for name in names[1:]:
        rows = rows.join(_wanted(asked, name, first), on=[PLACE, name], how="semi")
    return rows


def _wanted(asked: Sequence[Question], name: str, first: int) -> pl.DataFrame:
    rows = [(place, value) for place, q in enumerate(asked, first) for value in dict.fromkeys(q.where[name])]
    return pl.DataFrame(rows, {PLACE: pl.UInt32, name: pl.String}, orient="row")


def _places(many: int, first: int = 0) -> pl.DataFrame:
    return pl.DataFrame({PLACE: range(first, first + many)}, {PLACE: pl.UInt32})


def _with_zeros(places: pl.DataFrame, summed: pl.DataFrame) -> pl.DataFrame:
    """A row a place: over nothing, every sum is 0."""
    zeros = [pl.col(name).fill_null(pl.lit(0).cast(kind)) for name, kind in summed.schema.items() if name != PLACE]
    return places.join(summed, on=PLACE, how="left").with_columns(zeros)


def _columns(question: Question, metrics: Sequence[Metric]) -> list[str]:
    return [*question.by, *(m.name for m in metrics)]
