"""The question: which metrics, over which time, broken down and filtered by what; and the same in plain English."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from data.dimensions import OWN_DIMENSIONS
from data.errors import QueryRejected, UnknownMetric
from data.metrics import Kind, Metric, dimension, metric
from data.names import unknown
from data.periods import Grain, zone

#: What metrics are about, by the dimensions that they alone have.
_SUBJECTS = {"budget": "budgets", "credential": "providers' limits", "limit": "providers' limits"}


@dataclass(frozen=True, slots=True)
class Question:
    """Metrics of the requests that ended in [start, end), aware times.

    `by` splits them by dimensions, `grain` by time in the zone `tz`; `where` keeps the requests whose dimension has
    one of the values (as text: "true", "429"). `order_by` puts the largest of that metric first; `limit` keeps that
    many values of the breakdown, the first ones by `order_by` (by the first metric, where that is not given).
    """

    metrics: tuple[str, ...]
    start: datetime
    end: datetime
    by: tuple[str, ...] = ()
    grain: Grain | None = None
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tz: str = "UTC"
    order_by: str | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        """A grain may be given by its name."""
        if self.grain is not None and self.grain in set(Grain):
            object.__setattr__(self, "grain", Grain(self.grain))

    @property
    def measured(self) -> tuple[Metric, ...]:
        """The metrics asked for."""
        return tuple(metric(name) for name in self.metrics)

    @property
    def ranked_by(self) -> Metric:
        """The metric that says which values of the breakdown come first."""
        return metric(self.order_by or self.metrics[0])

    @property
    def dimensions(self) -> frozenset[str]:
        """Every dimension that it needs to know of a request."""
        return frozenset(self.by) | frozenset(self.where)


def check(question: Question) -> None:
    """Raise UnknownMetric for a name that does not exist, QueryRejected for what cannot be answered."""
    if not question.metrics:
        raise QueryRejected("a question needs at least one metric")
    for name in (*question.metrics, *([question.order_by] if question.order_by else [])):
        metric(name)
    for name in question.dimensions:
        dimension(name)
    _check_own(question)
    for name, wanted in question.where.items():
        if isinstance(wanted, str):
            raise QueryRejected(f"where {name} needs several values in a tuple, not the text {wanted!r}")
    for names, what in ((question.metrics, "metric"), (question.by, "dimension")):
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise QueryRejected(f"the {what} {min(twice)} is asked for twice")
    if question.grain is not None:
        _check_grain(question.grain)
    zone(question.tz)
    _check_range(question.start, question.end)
    if question.limit is not None and question.limit < 1:
        raise QueryRejected(f"the limit must be at least 1, not {question.limit}")


def own_kind(question: Question) -> Kind | None:
    """The kind of the metrics asked for where they are not about requests; None where they are."""
    return next((m.kind for m in question.measured if m.dimensions), None)


def own_words(of: Metric) -> str:
    """What a metric that is not about requests can be split and filtered by, in words."""
    return _listed(of.dimensions, "and")


def _check_own(question: Question) -> None:
    """What is not about requests has dimensions of its own, and budgets their own time; no other metric knows them."""
    kind = own_kind(question)
    if kind is None:
        for name in sorted(question.dimensions & {d.name for d in OWN_DIMENSIONS}):
            raise QueryRejected(f"the dimension {name} goes with metrics of {_SUBJECTS[name]} only")
        return
    first = question.measured[0]
    if any(m.kind is not kind for m in question.measured):
        raise QueryRejected(f"metrics of {kind}s cannot be asked for beside others")
    if question.dimensions - set(first.dimensions) or question.limit is not None or question.order_by:
        raise QueryRejected(f"{first.name} can be split and filtered by {own_words(first)}, and by nothing else")
    if question.grain is not None and not first.over_time:
        raise QueryRejected(f"{first.name} has its budget's own time, and no grain")


def _check_grain(name: str) -> None:
    if name not in set(Grain):
        raise UnknownMetric(unknown("grain", name, list(Grain)))


def _check_range(start: datetime, end: datetime) -> None:
    if start.tzinfo is None or end.tzinfo is None:
        raise QueryRejected("the range needs times with a time zone")
    if start >= end:
        raise QueryRejected(f"the range must end after it starts: {start.isoformat()} to {end.isoformat()}")


_GRAINS = {
    Grain.MINUTE: "each minute",
    Grain.FIVE_MINUTES: "every 5 minutes",
    Grain.QUARTER: "every 15 minutes",
    Grain.HOUR: "each hour",
    Grain.DAY: "each day",
    Grain.WEEK: "each week",
    Grain.MONTH: "each month",
}


def sentence(question: Question) -> str:
    """The question in plain English, one sentence: what a person reads above its answer."""
    names = [m.label if n == 0 else _lower(m.label) for n, m in enumerate(question.measured)]
    parts = [_listed(names, "and")]
    if question.by:
        parts.append(f"by {_listed([_lower(dimension(name).label) for name in question.by], 'and')}")
    if question.grain is not None:
        parts.append(_GRAINS[question.grain])
    text = " ".join(parts) + f", {_range(question)}"
    if question.where:
        text += f", where {_listed([_condition(*item) for item in question.where.items()], 'and')}"
    if question.limit is not None:
        text += f"; the {question.limit} largest by {_lower(question.ranked_by.label)}"
    elif question.order_by:
        text += f"; largest {_lower(question.ranked_by.label)} first"
    return f"{text}."


def _lower(label: str) -> str:
    """A label inside a sentence: "Tag Team" and "TTFT" keep their capitals, "Input tokens" does not."""
    return label[:1].lower() + label[1:] if label[1:2].islower() else label


def _condition(name: str, values: Sequence[str]) -> str:
    told = [value or "unknown" for value in values]
    return f"{_lower(dimension(name).label)} is {_listed(told, 'or') if told else 'nothing'}"


def _listed(words: Sequence[str], last: str) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def _range(question: Question) -> str:
    local = zone(question.tz)
    start, end = question.start.astimezone(local), question.end.astimezone(local)
    if _midnight(start) and _midnight(end):
        last = end - timedelta(days=1)
        days = _day(start) if last.date() <= start.date() else f"{_day(start)} to {_day(last)}"
        return f"{'on' if last.date() <= start.date() else 'from'} {days} ({question.tz})"
    return f"from {_moment(start)} to {_moment(end)} ({question.tz})"


def _midnight(at: datetime) -> bool:
    return at.time() == datetime.min.replace(tzinfo=UTC).time()


def _day(at: datetime) -> str:
    return f"{at.day} {at:%b %Y}"


def _moment(at: datetime) -> str:
    return f"{_day(at)} {at:%H:%M:%S}" if at.second else f"{_day(at)} {at:%H:%M}"
