"""Questions answered: metrics from the rollups where they can serve, from `requests` at the edges and for the rest.

`answer(store, question)` is the one way from the ledger to a number; charts, rules, budgets, the API and exports all
take it. The answer's columns are [time], *by, *metrics: `time` the start of the bucket (aware UTC), dimensions as
text, money as Decimal(38, 9), counts as Int64, shares and averages as Float64 (null over nothing). Only groups with
requests have a row, but a question without `by` and `grain` has one always; `fill` adds the empty buckets.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import reduce

import polars as pl

from data import own_sources
from data.buckets import UTC_TIME
from data.finish import COST
from data.metrics import Metric, metric
from data.periods import Grain, bucket_starts
from data.question import Question, check, own_kind, sentence
from data.reads import Reader, ask, families, keys_of
from data.shared import PLACE, Reading, Source, reading, shape, shareable, sources

_THERE = " there"  # no dimension or metric has this name

__all__ = ["Grain", "Question", "Reader", "answer", "answers", "check", "compiled", "fill", "sentence"]


def answer(store: Reader, question: Question) -> pl.DataFrame:
    """The answer, ordered by time and breakdown, or by `order_by`, largest first.

    Raises UnknownMetric for unknown names, QueryRejected for what cannot be answered, and the store's errors.
    """
    check(question)
    if own_kind(question):
        return own_sources.answers(store, [question])[0]
    if question.limit is not None and question.by and not _in_one_read(question):
        return _answer_of_leaders(store, question)
    return _assembled(question, [ask(store, family, question, own) for family, own in families(_needed(question))])


def answers(store: Reader, questions: Sequence[Question]) -> list[pl.DataFrame]:
    """The answers, in the questions' order; questions about the same time share their reads, equal ones a frame."""
    asked = [_same(question) for question in questions]
    different = dict(zip(asked, questions, strict=True))
    found = dict(zip(different, _answers(store, list(different.values())), strict=True))
    return [found[same] for same in asked]


def _answers(store: Reader, questions: Sequence[Question]) -> list[pl.DataFrame]:
    merged: dict[Hashable, Question] = {}
    keys = [_key(question) for question in questions]
    for key, question in zip(keys, questions, strict=True):
        if key is not None:
            same = merged.setdefault(key, question)
            merged[key] = _with_metrics(same, question.metrics)
    sharing = [(q, _needed(q)) for q in merged.values() if shareable(q, _needed(q))]
    read = sources(store, sharing)
    together = _in_batches(read, merged)
    for key, question in merged.items():
        if key not in together:
            together[key] = _answer_from(read, store, question)
    own = iter(own_sources.answers(store, [q for q in questions if own_kind(q)]))
    made: dict[Hashable, pl.DataFrame] = {}
    for key, question in zip(keys, questions, strict=True):
        if key is not None and (key, question.metrics) not in made:
            made[key, question.metrics] = _chosen(together[key], [*keys_of(question), *question.metrics])
    return [
        next(own) if key is None else made[key, question.metrics] for key, question in zip(keys, questions, strict=True)
    ]


def _key(question: Question) -> Hashable | None:
    """`_requests_of` a question that is in order; None for one that is not about requests."""
    check(question)
    return None if own_kind(question) else _requests_of(question)


def _with_metrics(question: Question, more: Sequence[str]) -> Question:
    missing = [name for name in more if name not in question.metrics]
    return replace(question, metrics=(*question.metrics, *missing)) if missing else question


def _chosen(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """As `select`, which goes through the planner and takes many times as long."""
    return pl.DataFrame([frame.get_column(name) for name in names])


def compiled(question: Question) -> tuple[str, list[object]]:
    """The SQL that answers it and its parameters, for display: statements after another, separated by semicolons."""
    check(question)
    parts = [family.statement(question, own) for family, own in families(_needed(question))]
    return ";\n".join(part.text for part in parts), [value for part in parts for value in part.params]


def fill(frame: pl.DataFrame, question: Question) -> pl.DataFrame:
    """The answer with every bucket of the range for every group in it: counts 0, shares and averages null."""
    if question.grain is None or (question.by and frame.is_empty()):
        return frame
    starts = list(bucket_starts(question.start, question.end, question.grain, question.tz))
    every = pl.DataFrame({"time": pl.Series(starts, dtype=UTC_TIME)})
    if question.by:
        every = every.join(frame.select(question.by).unique(maintain_order=True), how="cross")
    keys = keys_of(question)
    there = frame.with_columns(pl.lit(value=True).alias(_THERE))
    joined = every.join(there, on=keys, how="left", maintain_order="left")
    return _filled(joined, question, pl.col(_THERE).is_null()).drop(_THERE).sort(keys)


def _in_batches(read: Mapping[Reading, Source], asked: Mapping[Hashable, Question]) -> dict[Hashable, pl.DataFrame]:
    """The answers to those that share a read and are not ranked, perhaps with more metrics than were asked for."""
    batches: dict[Hashable, list[Hashable]] = defaultdict(list)
    for key, question in asked.items():
        needed = _needed(question)
        ranked = question.order_by is not None or question.limit is not None
        if reading(question) in read and shareable(question, needed) and not ranked:
            batches[shape(question, needed)].append(key)
    found: dict[Hashable, pl.DataFrame] = {}
    for keys in batches.values():
        questions = [asked[key] for key in keys]
        source = read[reading(questions[0])]
        found.update(zip(keys, _batch(source, questions), strict=True))
    return found


def _batch(source: Source, asked: Sequence[Question]) -> list[pl.DataFrame]:
    first = asked[0]
    metrics = tuple(dict.fromkeys(name for question in asked for name in question.metrics))
    every = replace(first, by=(PLACE, *first.by), metrics=metrics)
    whole = _assembled(every, [source.batch(family, every, own, asked) for family, own in families(_needed(every))])
    parts = whole.partition_by(PLACE, as_dict=True, include_key=False)
    nothing = whole.clear().drop(PLACE)
    return [parts.get((place,), nothing) for place in range(len(asked))]


def _answer_from(read: Mapping[Reading, Source], store: Reader, question: Question) -> pl.DataFrame:
    source = read.get(reading(question))
    if source is None or not shareable(question, _needed(question)):
        return answer(store, question)
    return _assembled(question, [source.answer(family, question, own) for family, own in families(_needed(question))])


def _assembled(question: Question, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The families' frames as the answer."""
    return _ordered(_filled(_joined(frames, keys_of(question)), question, pl.lit(value=False)), question)


def _requests_of(question: Question) -> Hashable:
    """Equal for questions that read the same rows the same way, whatever their metrics."""
    ranked = question.ranked_by.name if question.limit is not None or question.order_by is not None else ""
    where = tuple(sorted((name, tuple(wanted)) for name, wanted in question.where.items()))
    return question.start, question.end, question.by, question.grain, question.tz, where, ranked, question.limit


def _same(question: Question) -> Hashable:
    """Equal for questions that are equal, whether they are in order or not."""
    where = tuple((name, w if isinstance(w, str) else tuple(w)) for name, w in sorted(question.where.items()))
    ranked = question.order_by, question.limit
    return question.metrics, question.start, question.end, question.by, question.grain, question.tz, where, ranked


def _needed(question: Question) -> list[Metric]:
    """The metrics asked for, and the one that orders them."""
    names = dict.fromkeys(question.metrics)
    if question.order_by is not None:
        names[question.order_by] = None
    return [metric(name) for name in names]


def _in_one_read(question: Question) -> bool:
    return question.grain is None and len(families(_needed(question))) == 1


def _answer_of_leaders(store: Reader, question: Question) -> pl.DataFrame:
    """First which values lead over the whole range, then everything about those alone."""
    ranking = question.ranked_by.name
    leaders = answer(store, replace(question, metrics=(ranking,), order_by=ranking, grain=None)).select(question.by)
    among = {name: tuple(leaders[name].unique().to_list()) for name in question.by}
    found = answer(store, replace(question, where={**question.where, **among}, limit=None, order_by=ranking))
    return found.join(leaders, on=list(question.by), how="semi", maintain_order="left")


def _joined(frames: Sequence[pl.DataFrame], keys: list[str]) -> pl.DataFrame:
    if not keys:
        return pl.concat(frames, how="horizontal")
    return reduce(lambda left, right: left.join(right, on=keys, how="full", coalesce=True), frames)


def _filled(frame: pl.DataFrame, question: Question, nothing: pl.Expr) -> pl.DataFrame:
    """What is counted is 0 where there was nothing to count; a cost that is not known is 0 only over `nothing`."""
    counted = [m for m in _needed(question) if m.empty is not None and m.name in frame.columns]
    return frame.with_columns(
        pl.when(nothing if COST in m.of else pl.lit(value=True))
        .then(pl.col(m.name).fill_null(pl.lit(0).cast(frame.schema[m.name])))
        .otherwise(pl.col(m.name))
        .alias(m.name)
        for m in counted
    )


def _ordered(frame: pl.DataFrame, question: Question) -> pl.DataFrame:
    time, by = ["time"] if question.grain else [], list(question.by)
    ranked = [question.ranked_by.name] if question.order_by or question.limit else []
    if time or ranked or by:
        first = [False] * len(time) + [True] * len(ranked) + [False] * len(by)
        frame = frame.sort([*time, *ranked, *by], descending=first, nulls_last=True)
    if question.limit is not None and question.grain is None:
        frame = frame.head(question.limit)
    return frame.select([*time, *by, *question.metrics])
