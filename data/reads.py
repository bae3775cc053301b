"""What is read for a question: one statement a family of metrics, and the frame that comes back.

Every frame has the question's columns [time], *by and one row a group; a question without either has one row always.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Protocol

import polars as pl

from data import pieces
from data.buckets import UTC_TIME, in_utc, spans
from data.finish import latency_ms, measures_of, sum_metric
from data.metrics import Kind, Metric
from data.periods import HOUR
from data.pieces import Scope, Sql, quoted, union
from data.question import Question

#: More rows than this are refused: a chart or a table of so many is no answer.
MAX_ROWS = 1_000_000
_FLOATS = frozenset({"duration_ms", "overhead_ms", "ttft_ms"})
_MICROSECONDS_AN_HOUR = HOUR.total_seconds() * 1e6


class Reader(Protocol):
    """What can run a SELECT; `data.store.Store` can."""

    def sql(self, text: str, params: Sequence[object] = (), *, max_rows: int = MAX_ROWS) -> pl.DataFrame:
        """The answer; times are aware UTC."""


@dataclass(frozen=True, slots=True)
class Family:
    """Metrics that one statement answers: how it is written, and what becomes of its frame."""

    kinds: frozenset[Kind]
    statement: Callable[[Question, Sequence[Metric]], Sql]
    finish: Callable[[pl.DataFrame, Question, Sequence[Metric]], pl.DataFrame]


def scope_of(question: Question) -> Scope:
    """What has to be read for it."""
    return Scope(question.start, question.end, question.by, question.grain, question.tz, question.where)


def keys_of(question: Question) -> list[str]:
    """The columns that tell the answer's rows apart."""
    return [*(["time"] if question.grain else []), *question.by]


def ask(store: Reader, family: Family, question: Question, metrics: Sequence[Metric]) -> pl.DataFrame:
    """The family's metrics: keys of the question, then one column a metric."""
    sql = family.statement(question, metrics)
    frame = store.sql(sql.text, sql.params)
    if question.grain is not None:
        frame = in_utc(frame, question.grain, question.tz)
    return family.finish(frame, question, metrics).select([*keys_of(question), *(m.name for m in metrics)])


def sums_sql(scope: Scope, measures: Sequence[str]) -> Sql:
    """Rows [time], *by (text) and the measures: counts BIGINT, money DECIMAL(38,9), milliseconds DOUBLE."""
    return _added_up(scope, [], measures, list(pieces.usage(scope, measures)))


def counts_sql(scope: Scope, counted: Iterable[str]) -> Sql:
    """Rows [time], *by (text), bucket, and how often (`counted`: durations, ttfts or both)."""
    names = sorted(set(counted))
    return _added_up(scope, ["bucket"], names, list(pieces.latency(scope, names)))


def _added_up(scope: Scope, keys: Sequence[str], names: Sequence[str], parts: Sequence[Sql]) -> Sql:
    """The parts' rows with the sums of `names`; a single part is added up already."""
    alone = len(parts) == 1
    sums = [f"{typed(name, name if alone else f'sum({name})')} AS {name}" for name in names]
    inner = union(parts)
    group = "" if alone else " GROUP BY ALL"
    return Sql(f"SELECT {', '.join([*_keys(scope), *keys, *sums])} FROM ({inner.text}){group}", inner.params)


def typed(name: str, total: str) -> str:
    """A sum in its type, 0 over nothing; DuckDB's sums of integers are wider than they need to be."""
    if name == "cost_usd":
        return f"CAST(coalesce({total}, 0) AS DECIMAL(38, 9))"
    return f"coalesce({total}, 0)" if name in _FLOATS else f"CAST(coalesce({total}, 0) AS BIGINT)"


def _keys(scope: Scope) -> list[str]:
    """The keys as the answer has them: every dimension as text."""
    time = ['"time"'] if scope.timed else []
    return [*time, *(f"CAST({quoted(name)} AS VARCHAR) AS {quoted(name)}" for name in scope.by)]


def _names(scope: Scope) -> list[str]:
    return [*(['"time"'] if scope.timed else []), *map(quoted, scope.by)]


def _sums_statement(question: Question, metrics: Sequence[Metric]) -> Sql:
    """With a limit and no grain, the ranking happens here: only the first rows travel."""
    sql = sums_sql(scope_of(question), measures_of(metrics))
    if question.limit is None or question.grain is not None or question.ranked_by not in metrics:
        return sql
    order = [f"{_metric_sql(question.ranked_by)} DESC NULLS LAST", *map(quoted, question.by)]
    return Sql(f"SELECT * FROM ({sql.text}) ORDER BY {', '.join(order)} LIMIT {int(question.limit)}", sql.params)


def _metric_sql(m: Metric) -> str:
    of = " + ".join(m.of)
    return f"({of})::DOUBLE / nullif({' + '.join(m.per)}, 0)" if m.kind is Kind.RATIO else f"({of})"


def _finish_sums(frame: pl.DataFrame, question: Question, metrics: Sequence[Metric]) -> pl.DataFrame:
    frame = frame.with_columns(_hours(frame, question).alias("hours"))
    return frame.with_columns(sum_metric(m, pl.col("hours")) for m in metrics)


def _hours(frame: pl.DataFrame, question: Question) -> pl.Series:
    """The hours of each row: of its bucket, as far as that lies in the range."""
    if question.grain is None:
        # not a literal: that would be turned into a factor, and round otherwise
        return pl.Series([(question.end - question.start) / HOUR] * frame.height, dtype=pl.Float64)
    first, last = spans(frame, question.grain, question.tz, question.start, question.end)
    return (last - first).dt.total_microseconds() / _MICROSECONDS_AN_HOUR


def _latency_statement(question: Question, metrics: Sequence[Metric]) -> Sql:
    """Nearest rank, in whole numbers: the first bucket at which the running count reaches the percentage."""
    scope = scope_of(question)
    measured = sorted({m.of[0] for m in metrics})
    counts, keys = counts_sql(scope, measured), _names(scope)
    group = f"PARTITION BY {', '.join(keys)} " if keys else ""
    running = [
        f"sum({name}) OVER ({group}ORDER BY bucket) AS {name}_so_far, sum({name}) OVER ({group}) AS {name}_total"
        for name in measured
    ]
    found = [
        f"min(bucket) FILTER ({name} > 0 AND {name}_so_far * 100 >= {name}_total * {m.percent}) AS {m.name}"
        for m in metrics
        for name in m.of
    ]
    return Sql(
        f"SELECT {', '.join([*keys, *found])} FROM (SELECT *, {', '.join(running)} FROM ({counts.text})) GROUP BY ALL",
        counts.params,
    )


def _finish_latency(frame: pl.DataFrame, _question: Question, metrics: Sequence[Metric]) -> pl.DataFrame:
    return frame.with_columns(latency_ms(pl.col(m.name)).alias(m.name) for m in metrics)


def values_sql(scope: Scope, name: str) -> Sql:
    """Rows [time], *by (text), value: the different values of the dimension `name`, '' too."""
    inner = union(pieces.values(scope, name))
    return Sql(f"SELECT DISTINCT {', '.join([*_keys(scope), 'value'])} FROM ({inner.text})", inner.params)


def last_sql(scope: Scope) -> Sql:
    """Rows [time], *by (text), last: when the last request ended."""
    inner = union(pieces.last_ended(scope))
    kept = [*_keys(scope), "max(last) AS last"]
    return Sql(f"SELECT {', '.join(kept)} FROM ({inner.text}) GROUP BY ALL", inner.params)


def _distinct_statement(question: Question, metrics: Sequence[Metric]) -> Sql:
    """One metric a statement: each counts the values of another dimension."""
    (m,) = metrics
    scope = scope_of(question)
    inner = union(pieces.values(scope, m.of[0]))
    counted = f"count(DISTINCT value) FILTER (value <> '') AS {m.name}"
    return Sql(f"SELECT {', '.join([*_keys(scope), counted])} FROM ({inner.text}) GROUP BY ALL", inner.params)


def _age_statement(question: Question, metrics: Sequence[Metric]) -> Sql:
    read = last_sql(scope_of(question))
    ages = [f"last AS {m.name}" for m in metrics]
    return Sql(f"SELECT {', '.join([*_names(scope_of(question)), *ages])} FROM ({read.text})", read.params)


def _finish_age(frame: pl.DataFrame, question: Question, metrics: Sequence[Metric]) -> pl.DataFrame:
    ends: pl.Series | pl.Expr = pl.lit(pl.Series([question.end.astimezone(UTC)], dtype=UTC_TIME)).first()
    if question.grain is not None:
        _, ends = spans(frame, question.grain, question.tz, question.start, question.end)
    # a column, not a literal: that would be turned into a factor, and round otherwise
    second = pl.Series("second", [1e6] * frame.height, dtype=pl.Float64)
    frame = frame.with_columns(ends.alias("ends"), second)
    return frame.with_columns(_age_s(m) for m in metrics)


def _age_s(m: Metric) -> pl.Expr:
    age = pl.col("ends") - pl.col(m.name).cast(UTC_TIME)
    return (age.dt.total_microseconds() / pl.col("second")).alias(m.name)


def _as_it_is(frame: pl.DataFrame, _question: Question, _metrics: Sequence[Metric]) -> pl.DataFrame:
    return frame


FAMILIES: tuple[Family, ...] = (
    Family(frozenset({Kind.SUM, Kind.RATIO, Kind.RATE}), _sums_statement, _finish_sums),
    Family(frozenset({Kind.QUANTILE}), _latency_statement, _finish_latency),
    Family(frozenset({Kind.DISTINCT}), _distinct_statement, _as_it_is),
    Family(frozenset({Kind.AGE}), _age_statement, _finish_age),
)


def families(metrics: Iterable[Metric]) -> list[tuple[Family, list[Metric]]]:
    """The metrics by the statement that answers them; distinct counts need one each."""
    wanted = list(metrics)
    found: list[tuple[Family, list[Metric]]] = []
    for family in FAMILIES:
        own = [m for m in wanted if m.kind in family.kinds]
        if Kind.DISTINCT in family.kinds:
            found += [(family, [m]) for m in own]
        elif own:
            found.append((family, own))
    return found
