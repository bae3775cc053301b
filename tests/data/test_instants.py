import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.errors import QueryRejected, UnknownMetric
from data.instants import Asked, instants, lines
from data.metrics import METRICS
from data.own_sources import OWN_SOURCES
from data.periods import bucket_start
from data.query import Grain, Question, answer
from tests.data.oracle import FIRST, LAST

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WINDOWS = (
    MINUTE,
    5 * MINUTE,
    90 * MINUTE,
    HOUR,
    DAY,
    7 * DAY,
    timedelta(seconds=90),
    Grain.DAY,
    Grain.WEEK,
    Grain.MONTH,
)
STEPS = (MINUTE, 7 * MINUTE, HOUR, timedelta(seconds=30), timedelta(seconds=37, microseconds=5))
BY = ((), ("model",), ("key", "status"), ("session",), ("tag:branch",), ("stream",))


def span(window, at, tz):
    if isinstance(window, timedelta):
        return at - window, at
    return bucket_start(at - timedelta(microseconds=1), window, tz), at


def one(store, metric, span, by=(), where=()):
    start, end = span
    question = Question((metric,), start, end, by=by, where=dict(where))
    return {row[:-1]: row[-1] for row in answer(store, question).iter_rows()}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    metric=st.sampled_from([m.name for m in METRICS]),
    window=st.sampled_from(WINDOWS),
    step=st.sampled_from(STEPS),
    begin=st.integers(-2 * 24 * 60, 10 * 24 * 60),
    by=st.sampled_from(BY),
    where=st.sampled_from([{}, {"model": ("opus",)}, {"status": ("429",), "session": ("session-1", "")}]),
    tz=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]),
)
def test_every_instant_is_the_answer_over_its_window(  # noqa: PLR0917 - what hypothesis draws
    loaded, metric, window, step, begin, by, where, tz
):
    start = FIRST + begin * MINUTE
    frame = instants(
        loaded, metric=metric, window=window, start=start, end=start + 9 * step, step=step, by=by, where=where, tz=tz
    )
    assert frame.columns == ["time", *by, "value"]
    for number in range(9):
        at = start + number * step
        rows = frame.filter(pl.col("time") == at).drop("time")
        found = {row[:-1]: row[-1] for row in rows.iter_rows()}
        wanted = one(loaded, metric, span(window, at, tz), by, where)
        assert found == {key: None if value is None else float(value) for key, value in wanted.items()}, at
    assert frame["time"].is_sorted()


@pytest.mark.parametrize("name", [m.name for m in METRICS])
def test_each_metric_over_the_whole_ledger(loaded, name):
    frame = instants(
        loaded, metric=name, window=6 * HOUR, start=FIRST, end=LAST + 2 * DAY, step=3 * HOUR, by=("model",)
    )
    for at, part in frame.partition_by("time", as_dict=True).items():
        found = {row[1:-1]: row[-1] for row in part.iter_rows()}
        wanted = one(loaded, name, (at[0] - 6 * HOUR, at[0]), ("model",))
        assert found == {key: None if value is None else float(value) for key, value in wanted.items()}


def test_without_a_breakdown_every_instant_has_a_row(loaded):
    start = FIRST - 2 * DAY
    frame = instants(loaded, metric="requests", window=HOUR, start=start, end=start + DAY, step=MINUTE)
    assert frame.height == 24 * 60
    assert frame["value"].to_list() == [0.0] * frame.height
    rate = instants(loaded, metric="error_rate", window=HOUR, start=start, end=start + DAY, step=MINUTE)
    assert rate["value"].null_count() == 24 * 60


def test_at_midnight_today_is_the_day_that_ends(loaded):
    midnight = datetime(2026, 3, 28, 23, 0, tzinfo=UTC)
    frame = instants(
        loaded, metric="requests", window=Grain.DAY, start=midnight, end=midnight + 2 * MINUTE, step=MINUTE,
        tz="Europe/Berlin",
    )  # fmt: skip
    whole = answer(loaded, Question(("requests",), midnight - DAY, midnight)).item()
    minute = answer(loaded, Question(("requests",), midnight, midnight + MINUTE)).item()
    assert frame["value"].to_list() == [whole, minute]


def test_no_instants_is_an_empty_frame(loaded):
    frame = instants(loaded, metric="cost", window=HOUR, start=FIRST, end=FIRST, step=MINUTE, by=("model",))
    assert frame.is_empty()
    assert frame.schema == {"time": pl.Datetime("us", "UTC"), "model": pl.String, "value": pl.Float64}


class Counting:
    """A store that notes what is asked."""

    def __init__(self, store):
        self.store, self.asked = store, []

    def sql(self, text, params=(), *, max_rows):
        self.asked.append(text)
        return self.store.sql(text, params, max_rows=max_rows)


@pytest.mark.parametrize(("days", "reads"), [(1, 1), (3, 2)])
def test_one_read_serves_all_instants_and_two_those_of_a_long_time(loaded, days, reads):
    counting = Counting(loaded)

    instants(counting, metric="latency_p95", window=HOUR, start=FIRST, end=FIRST + days * DAY, step=MINUTE)

    assert len(counting.asked) == reads


@pytest.mark.parametrize("window", [5 * MINUTE, 7 * HOUR, Grain.DAY, timedelta(seconds=90)], ids=str)
def test_two_halves_come_to_the_same_as_the_whole(loaded, monkeypatch, window):
    span = FIRST - DAY, LAST + DAY
    wanted = [Asked(m.name, window, *span, timedelta(minutes=13)) for m in METRICS if m.kind not in OWN_SOURCES]
    shifted = [replace(one, start=one.start - 5 * HOUR, end=one.end - 5 * HOUR) for one in wanted]
    counting = Counting(loaded)
    monkeypatch.setattr("data.sliding_reads._LEAST_HALF", sys.maxsize)
    whole = written(lines(counting, [*wanted, *shifted]))
    reads = len(counting.asked)

    monkeypatch.setattr("data.sliding_reads._LEAST_HALF", 0)
    monkeypatch.setattr("data.sliding_reads._LEAST_WINDOWS", 0)

    assert written(lines(counting, [*wanted, *shifted])) == whole
    assert len(counting.asked) == 3 * reads
    assert any(len(line.ticks) for of in lines(loaded, wanted) for line in of)


def asked(metric, window, *, back=timedelta(), **more):
    start, end = FIRST + 2 * HOUR - back, FIRST + 6 * HOUR - back
    return Asked(metric, window, start, end, MINUTE, **{"by": ("model",), **more})


def test_what_sums_up_the_same_requests_is_read_once(loaded):
    wanted = [
        asked("cost", DAY),
        asked("error_rate", 5 * MINUTE),
        asked("error_rate", 5 * MINUTE, back=HOUR),
        asked("latency_p95", 5 * MINUTE),
        asked("latency_p50", HOUR),
        asked("ttft_p95", 90 * MINUTE),
        asked("cost", HOUR, where={"key": ("key-1",)}),
        asked("requests", HOUR, back=-3 * DAY),
    ]
    counting = Counting(loaded)

    together = lines(counting, wanted)

    # sums, percentiles, others' requests, another time: each with the names of its groups
    assert len(counting.asked) == 2 * 4
    alone = [lines(loaded, [one])[0] for one in wanted]
    assert written(together) == written(alone)
    assert all(together)


def written(found):
    return [[(line.group, line.ticks.tolist(), line.values.to_list()) for line in of] for of in found]


@pytest.mark.parametrize("limit", ["MOST_LOOKED_UP", "MOST_NUMBERED", "MOST_RAW"])
def test_many_rows_and_many_groups_come_to_the_same(loaded, monkeypatch, limit):
    wanted = [asked("latency_p95", HOUR), asked("cost", HOUR)]
    usual = written(lines(loaded, wanted))

    monkeypatch.setattr(f"data.cells.{limit}", 1)

    assert written(lines(loaded, wanted)) == usual


class Forgetting:
    """A store that does not know the last of a list of names yet."""

    def __init__(self, store):
        self.store = store

    def sql(self, text, params=(), *, max_rows):
        frame = self.store.sql(text, params, max_rows=max_rows)
        return frame.sort("model").head(-1) if "SELECT DISTINCT" in text else frame


@pytest.mark.parametrize("most", [0, 64])
def test_a_group_that_came_after_its_names_were_asked_for_is_left_out(loaded, monkeypatch, most):
    wanted = [asked("latency_p95", HOUR), asked("cost", HOUR)]
    monkeypatch.setattr("data.cells.MOST_LOOKED_UP", most)

    assert written(lines(Forgetting(loaded), wanted)) == [of[:-1] for of in written(lines(loaded, wanted))]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"metric": "costs"}, UnknownMetric),
        ({"by": ("nothing",)}, UnknownMetric),
        ({"step": timedelta()}, QueryRejected),
        ({"window": timedelta()}, QueryRejected),
        ({"window": Grain.HOUR}, QueryRejected),
        ({"start": datetime(2026, 3, 1)}, QueryRejected),  # noqa: DTZ001
    ],
    ids=str,
)
def test_what_cannot_be_answered_is_refused(loaded, changes, error):
    asked = {"metric": "cost", "window": HOUR, "start": FIRST, "end": LAST, "step": MINUTE} | changes
    with pytest.raises(error):
        instants(loaded, **asked)
