"""How much of providers' limits is used, at any instants, from what their answers said (`data.queries.limit_readings`).

A reading counts from when it was made until its limit's reset, or until the next one; one of a limit whose reset is not
told, for an hour. Over a window the most that was used at any time in it counts; where no reading counts in it, nothing
is known. One function serves a single evaluation and the simulator's many, so both see the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from data import sliding
from data.buckets import UTC_TIME
from data.cells import Group
from data.periods import bucket_end, bucket_starts
from data.queries.limit_readings import names, readings
from data.question import Question
from data.reads import Reader
from data.sliding import Floats, Held, Ints, Windows

_US = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Course:
    """One limit's readings, each with the stretch in which it counts; stretches ascend and do not overlap."""

    labels: Mapping[str, str]
    starts: Ints
    ends: Ints
    used: Floats

    def peaks(self, windows: Windows) -> Floats:
        """The most used in each window, percent; NaN where nothing is known."""
        first = np.searchsorted(self.ends, windows.starts, side="right")
        last = np.searchsorted(self.starts, windows.ends, side="left")
        return sliding.maxima(self.used, Held(first, last))


def answers(store: Reader, questions: Sequence[Question]) -> list[pl.DataFrame]:
    """Columns [time], *by, *metrics (Float64) of each; what several ask about the same time is read once."""
    known: dict[tuple[datetime, datetime], list[_Course]] = {}
    found = []
    for question in questions:
        when = question.start, question.end
        if when not in known:
            known[when] = _courses(store, *when)
        found.append(_answer(known[when], question))
    return found


def series(
    store: Reader, name: str, windows: Windows, by: Sequence[str], where: Mapping[str, Sequence[str]]
) -> pl.DataFrame:
    """Columns time (the end of each window), *by, value (Float64), as `data.instants.instants` has them."""
    del name  # there is one
    start, end = (_EPOCH + int(at) * _US for at in (windows.starts[0], windows.ends[-1]))
    courses = _courses(store, start, end)
    return _frame(_by_group(courses, windows, by, where), windows.ends, by, "value")


def labels(store: Reader, dimension: str, start: datetime, end: datetime) -> list[str]:
    """The values that `credential` or `limit` has among readings that may count in [start, end), in order."""
    return names(store, dimension, start, end)


def _answer(courses: Sequence[_Course], question: Question) -> pl.DataFrame:
    (name,) = question.metrics
    times, windows = _buckets(question)
    frame = _frame(_by_group(courses, windows, question.by, question.where), times, question.by, name)
    return frame if question.grain else frame.drop("time")


def _buckets(question: Question) -> tuple[Ints, Windows]:
    """When each bucket begins, and as far as it lies in the range: one bucket without a grain."""
    start, end, grain = question.start, question.end, question.grain
    if grain is None:
        return _us([start]), Windows(_us([start]), _us([end]))
    begins = list(bucket_starts(start, end, grain, question.tz))
    ends = [min(bucket_end(at, grain, question.tz), end) for at in begins]
    return _us(begins), Windows(_us([max(at, start) for at in begins]), _us(ends))


def _by_group(
    courses: Sequence[_Course], windows: Windows, by: Sequence[str], where: Mapping[str, Sequence[str]]
) -> dict[Group, Floats]:
    """By group the fullest limit at each window; without `by` there is one group always."""
    found: dict[Group, Floats] = {} if by else {(): np.full(len(windows), np.nan)}
    for course in courses:
        if all(course.labels[name] in wanted for name, wanted in where.items()):
            group, peaks = tuple(course.labels[name] for name in by), course.peaks(windows)
            found[group] = np.fmax(found[group], peaks) if group in found else peaks
    return found


def _frame(found: Mapping[Group, Floats], times: Ints, by: Sequence[str], name: str) -> pl.DataFrame:
    """Rows of what is known; without `by` one for every time."""
    schema = {"time": UTC_TIME, **dict.fromkeys(by, pl.String()), name: pl.Float64()}
    frames = [pl.DataFrame(schema=schema)]
    for group, values in found.items():
        known = np.flatnonzero(~np.isnan(values)) if by else np.arange(len(values))
        part = {"time": pl.Series(times[known]).cast(UTC_TIME), name: pl.Series(values[known], nan_to_null=True)}
        labels = [pl.lit(label, dtype=pl.String).alias(own) for own, label in zip(by, group, strict=True)]
        frames.append(pl.DataFrame(part).with_columns(labels).select(list(schema)))
    return pl.concat(frames).sort("time", *by)


def _courses(store: Reader, start: datetime, end: datetime) -> list[_Course]:
    frame = readings(store, start, end)
    parts = frame.partition_by("provider", "credential", "limit", as_dict=True, include_key=False)
    names = ("provider", "credential", "limit")
    return [_course(dict(zip(names, map(str, labels), strict=True)), part) for labels, part in parts.items()]


def _course(labels: Mapping[str, str], part: pl.DataFrame) -> _Course:
    starts, until = (part[name].dt.epoch("us").to_numpy() for name in ("at", "until"))
    ends = np.minimum(until, np.append(starts[1:], until[-1:]))
    return _Course(labels, starts, ends, part["used"].to_numpy())


def _us(times: Sequence[datetime]) -> Ints:
    return np.array([(at - _EPOCH) // _US for at in times], dtype=np.int64)
