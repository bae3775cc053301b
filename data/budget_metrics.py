"""The metrics of budgets at any instants: how much is used, where that leads, how fast it burns.

One function serves a single evaluation and the simulator's many, so both see the same. At an instant a budget is what
it was just before: at the very end of a period that is the period, whole. Raises and grants count while they hold.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from pydantic import ValidationError

from data import sliding
from data.buckets import UTC_TIME
from data.budget_outlook import forecast, life
from data.budget_periods import NEVER, Rolling
from data.budget_scope import values, who_of_sum
from data.budgets import ANY, Budget, parse
from data.queries.budgets import spending
from data.question import Question
from data.reads import Reader
from data.sliding import Floats, Ints, Windows

_US = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR_US = 3.6e9
_MAX_ROWS = 5_000_000
_STORED = "SELECT document FROM budgets ORDER BY name, id"


@dataclass(frozen=True, slots=True)
class Course:
    """One budget's metric, or one value's that has its own amount: at the windows it is known for (NaN: nothing)."""

    budget: str
    label: str
    which: Ints
    values: Floats


def answers(store: Reader, questions: Sequence[Question]) -> list[pl.DataFrame]:
    """Columns *by (`budget`), *metrics (Float64) of each; without `by` one row, of the budget that is worst.

    What several ask is read once.
    """
    known: dict[Hashable, list[Course]] = {}
    budgets = _budgets(store) if questions else []

    def courses(name: str, question: Question) -> list[Course]:
        same = name, question.start, question.end
        if same not in known:
            known[same] = list(_courses(store, budgets, name, Windows(_us(question.start), _us(question.end))))
        return _wanted(known[same], question.where)

    return [_answer(question, {name: courses(name, question) for name in question.metrics}) for question in questions]


def series(
    store: Reader, name: str, windows: Windows, by: Sequence[str], where: Mapping[str, Sequence[str]]
) -> pl.DataFrame:
    """Columns time (the end of each window), *by (`budget`), value (Float64), as `data.instants.instants` has them."""
    found = _wanted(list(_courses(store, _budgets(store), name, windows)), where)
    if not by:
        ends = pl.Series("time", windows.ends).cast(UTC_TIME)
        return pl.DataFrame({"time": ends, "value": _worst(found, len(windows))}, nan_to_null=True)
    schema = {"time": UTC_TIME, **dict.fromkeys(by, pl.String()), "value": pl.Float64()}
    frames = [
        pl.DataFrame(
            {"time": pl.Series(windows.ends[c.which]).cast(UTC_TIME), "value": c.values}, nan_to_null=True
        ).select("time", *(pl.lit(c.label).alias(name) for name in by), "value")
        for c in found
    ]
    return pl.concat([pl.DataFrame(schema=schema), *frames]).sort("time", *by)


def labels(store: Reader, dimension: str, start: datetime, end: datetime) -> list[str]:
    """The names of the budgets in force: each stands for all that it has for single values."""
    del dimension, start, end  # there is one, and budgets are what they are now
    return [budget.name for budget in _budgets(store)]


def _answer(question: Question, found: Mapping[str, list[Course]]) -> pl.DataFrame:
    if not question.by:
        return pl.DataFrame({name: _worst(courses, 1) for name, courses in found.items()}, nan_to_null=True)
    labels = sorted({c.label for courses in found.values() for c in courses})
    frame = pl.DataFrame({question.by[0]: pl.Series(labels, dtype=pl.String)})
    for name, courses in found.items():
        at = {c.label: float(c.values[0]) for c in courses}
        column = pl.Series(name, [at.get(label) for label in labels], dtype=pl.Float64)
        frame = frame.with_columns(column.fill_nan(None))
    return frame


def _worst(found: Sequence[Course], length: int) -> Floats:
    """The largest at each window; NaN where none is known."""
    worst = np.full(length, np.nan)
    for course in found:
        worst[course.which] = np.fmax(worst[course.which], course.values)
    return worst


def _wanted(found: list[Course], where: Mapping[str, Sequence[str]]) -> list[Course]:
    """Those let through by `where`: a budget's name stands for all that it has for single values."""
    return [c for c in found if all(c.budget in names or c.label in names for names in where.values())]


def _budgets(store: Reader) -> list[Budget]:
    """Those in force; one that cannot be read is left out."""
    found = []
    for (document,) in store.sql(_STORED).rows():
        try:
            budget = parse(document)
        except ValidationError:
            continue
        found += [budget] if budget.enabled else []
    return found


def _courses(store: Reader, budgets: Sequence[Budget], name: str, windows: Windows) -> Iterator[Course]:
    for budget in budgets:
        counted = windows if name == "budget_burn" else Windows(_counts_from(budget, windows.ends), windows.ends)
        limits = _limits(budget, windows.ends)
        for value, holds, sums in _spent(store, budget, counted):
            figures = _FIGURES[name](budget, sums, limits, windows)
            label = f"{budget.name}/{value}" if budget.scope.value == ANY else budget.name
            which = holds if budget.scope.value == ANY else np.arange(len(windows))
            yield Course(budget.name, label, which, figures[which])


def _counts_from(budget: Budget, ends: Ints) -> Ints:
    schedule = budget.schedule
    return np.array([schedule.counts(int(end) - 1).start_us for end in ends], dtype=np.int64)


def _limits(budget: Budget, ends: Ints) -> Floats:
    found, until, limit = [], -1, 0
    for end in ends:
        if end - 1 >= until:
            limit, until = budget.limit(int(end) - 1)
        found.append(limit)
    return np.array(found, dtype=np.float64)


def _spent(store: Reader, budget: Budget, windows: Windows) -> Iterator[tuple[str, Ints, Ints]]:
    """By the scope's value: the windows in which anything was spent, and the nanodollars in each."""
    first, last = int(windows.starts[0]), int(windows.ends[-1])
    width = int(np.gcd.reduce(np.concatenate([windows.starts, windows.ends]) - first)) or 1
    rows = store.sql(*spending(budget.scope, first, last, width), max_rows=_MAX_ROWS).sort("cell")
    cells: dict[str, list[tuple[int, int]]] = {} if budget.scope.value == ANY else {budget.scope.value: []}
    for row in rows.iter_rows(named=True):
        for value in values(budget.scope, who_of_sum(budget.scope, row)):
            cells.setdefault(value, []).append((first + row["cell"] * width, row["nano"]))
    for value, spent in cells.items():
        at, nanos = (np.array(part, dtype=np.int64) for part in zip(*spent, strict=True)) if spent else _NOTHING
        holds = sliding.held(windows, at)
        yield value, holds.filled, sliding.sums(nanos, holds)


_NOTHING = np.empty(0, np.int64), np.empty(0, np.int64)


def _used(_budget: Budget, spent: Ints, limits: Floats, _windows: Windows) -> Floats:
    return _ratio(spent.astype(np.float64), limits) * 100


def _forecast(budget: Budget, spent: Ints, limits: Floats, windows: Windows) -> Floats:
    ahead = [
        forecast(budget, int(nanos), life(budget, int(end) - 1), int(end))
        for nanos, end in zip(spent, windows.ends, strict=True)
    ]
    return _ratio(np.array([np.nan if nanos is None else nanos for nanos in ahead]), limits) * 100


def _burn(budget: Budget, spent: Ints, limits: Floats, windows: Windows) -> Floats:
    hours = (windows.ends - windows.starts) / _HOUR_US
    periods = np.array([_period_us(budget, int(end) - 1) for end in windows.ends]) / _HOUR_US
    return _ratio(spent / hours * periods, limits)


def _period_us(budget: Budget, at_us: int) -> float:
    """How long the amount should last; NaN where that is not said."""
    if isinstance(budget.schedule, Rolling):
        return budget.schedule.length_us
    span = life(budget, at_us)
    return float("nan") if span.end_us >= NEVER or span.start_us <= 0 else span.end_us - span.start_us


def _ratio(of: Floats, per: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(per > 0, of / per, np.nan)


_FIGURES = {"budget_used": _used, "budget_forecast": _forecast, "budget_burn": _burn}


def _us(at: datetime) -> Ints:
    return np.array([(at - _EPOCH) // _US], dtype=np.int64)
