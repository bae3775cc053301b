from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data.errors import QueryRejected, UnknownMetric
from data.metrics import METRICS
from data.query import Grain, Question, answer, answers, compiled, fill
from data.store import Role, connect
from tests.data.oracle import FIRST, LAST, expected, ledger

RECORDS = ledger()
ALL = tuple(m.name for m in METRICS)
MOMENTS = st.one_of(
    st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None)).map(lambda at: at.replace(tzinfo=UTC)),
    st.integers(0, 9 * 24 * 60).map(lambda minutes: FIRST + timedelta(minutes=minutes)),
    st.integers(0, 9 * 24).map(lambda hours: FIRST + timedelta(hours=hours)),
)
DIMENSIONS = ("model", "key", "stream", "status", "outcome", "session", "tag:branch", "endpoint", "team")
VALUES = {
    "model": ("opus", "sonnet", "other"),
    "key": ("", "key-1", "key-2"),
    "stream": ("true", "false"),
    "status": ("200", "429", "none"),
    "session": ("session-1", "session-2", ""),
    "tag:branch": ("b0", ""),
}
WHERE = st.dictionaries(st.sampled_from(sorted(VALUES)), st.just(None), max_size=2).flatmap(
    lambda names: st.fixed_dictionaries(
        {name: st.lists(st.sampled_from(VALUES[name]), min_size=1, unique=True).map(tuple) for name in names}
    )
)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe")


@st.composite
def questions(draw, grains=(None, *Grain)):
    start, end = sorted([draw(MOMENTS), draw(MOMENTS)])
    return Question(
        metrics=tuple(draw(st.lists(st.sampled_from(ALL), min_size=1, max_size=6, unique=True))),
        start=start,
        end=max(end, start + timedelta(microseconds=1)),
        by=tuple(draw(st.lists(st.sampled_from(DIMENSIONS), max_size=2, unique=True))),
        grain=draw(st.sampled_from(grains)),
        where=draw(WHERE),
        tz=draw(st.sampled_from(ZONES)),
    )


def as_rows(frame: pl.DataFrame, question: Question) -> dict:
    keys = [*(["time"] if question.grain else []), *question.by]
    return {tuple(row[key] for key in keys): row for row in frame.iter_rows(named=True)}


def assert_agrees(frame: pl.DataFrame, question: Question) -> None:
    found, wanted = as_rows(frame, question), expected(RECORDS, question)
    assert found.keys() == wanted.keys()
    for key, values in wanted.items():
        for name, value in values.items():
            if question.grain and name in {"spend_rate", "ledger_lag"}:
                continue
            if isinstance(value, float):
                assert found[key][name] == pytest.approx(value, rel=1e-9, abs=1e-6), (key, name)
            else:
                assert found[key][name] == value, (key, name)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(question=questions())
def test_every_answer_equals_the_plain_sum_over_the_records(loaded, question):
    assert_agrees(answer(loaded, question), question)


@pytest.mark.parametrize("tz", ZONES)
@pytest.mark.parametrize("grain", list(Grain))
def test_every_grain_in_every_zone(loaded, grain, tz):
    question = Question(("requests", "cost", "latency_p95"), FIRST, LAST, grain=grain, tz=tz)
    assert_agrees(answer(loaded, question), question)


def test_a_grain_may_be_given_by_its_name(loaded):
    question = Question(("requests",), FIRST, LAST, grain="hour")
    assert question.grain is Grain.HOUR
    assert_agrees(answer(loaded, question), question)


def test_all_metrics_at_once_have_their_types(loaded):
    question = Question(ALL, FIRST, LAST)
    frame = answer(loaded, question)
    assert_agrees(frame, question)
    assert frame.schema["cost"] == pl.Decimal(38, 9)
    assert frame.schema["input_tokens"] == pl.Int64
    assert frame.schema["error_rate"] == pl.Float64


def test_nothing_is_zero_requests_and_no_rate(loaded):
    question = Question(ALL, FIRST - timedelta(days=9), FIRST - timedelta(days=8))
    row = answer(loaded, question).row(0, named=True)
    assert (row["requests"], row["cost"], row["active_sessions"], row["spend_rate"]) == (0, Decimal(0), 0, 0)
    for name in ("error_rate", "cost_per_request", "latency_p95", "latency_avg", "ledger_lag", "cache_hit_rate"):
        assert row[name] is None, name


def test_nothing_by_a_dimension_has_no_rows(loaded):
    question = Question(ALL, FIRST - timedelta(days=9), FIRST - timedelta(days=8), by=("model",))
    frame = answer(loaded, question)
    assert frame.columns == ["model", *ALL]
    assert frame.is_empty()


@pytest.mark.parametrize("ranked", ["cost", "error_rate", "latency_p95", "active_sessions", "cost_per_request"])
@pytest.mark.parametrize("grain", [None, Grain.DAY])
def test_a_limit_keeps_the_largest_values_of_the_breakdown(loaded, ranked, grain):
    whole = answer(loaded, Question((ranked,), FIRST, LAST, by=("session", "status")))
    best = whole.sort([ranked, "session", "status"], descending=[True, False, False], nulls_last=True).head(3)
    question = Question(
        ("requests", ranked), FIRST, LAST, by=("session", "status"), grain=grain, order_by=ranked, limit=3
    )
    frame = answer(loaded, question)
    pairs = frame.select("session", "status").unique(maintain_order=True).rows()
    assert set(pairs) == set(best.select("session", "status").rows())
    if grain is None:
        assert pairs == best.select("session", "status").rows()
        assert_frame_equal(frame.select(whole.columns), best)
    else:
        assert frame["requests"].sum() < answer(loaded, Question(("requests",), FIRST, LAST)).item()


def test_order_by_need_not_be_asked_for(loaded):
    question = Question(("requests",), FIRST, LAST, by=("model",), order_by="cost", limit=1)
    assert answer(loaded, question).columns == ["model", "requests"]


def test_a_local_day_has_the_hours_its_clocks_give_it(loaded):
    question = Question(("requests",), FIRST, LAST, grain=Grain.DAY, tz="Europe/Berlin")
    days = answer(loaded, question)["time"].to_list()
    lengths = {(later - earlier) / timedelta(hours=1) for earlier, later in pairwise(days)}
    assert lengths == {24, 23}


def test_fill_adds_the_buckets_without_requests(loaded):
    start, end = FIRST, FIRST + timedelta(hours=30)
    question = Question(("requests", "cost", "error_rate", "spend_rate"), start, end, grain=Grain.QUARTER)
    frame = answer(loaded, question)
    filled = fill(frame, question)
    assert filled.height == 120
    assert frame.height < 120
    assert filled["requests"].sum() == frame["requests"].sum()
    empty = filled.filter(pl.col("requests") == 0)
    assert empty["cost"].to_list() == [Decimal(0)] * empty.height
    assert empty["error_rate"].null_count() == empty.height
    assert filled.schema == frame.schema
    assert_frame_equal(filled.filter(pl.col("requests") > 0), frame)


def test_fill_gives_every_value_of_the_breakdown_every_bucket(loaded):
    question = Question(("requests",), FIRST, LAST, by=("model",), grain=Grain.HOUR, tz="Asia/Kolkata")
    filled = fill(answer(loaded, question), question)
    assert filled.height == 2 * (9 * 24 + 1)
    assert filled["time"].is_sorted()


def test_spend_rate_in_a_bucket_counts_its_own_hours(loaded):
    start = FIRST + timedelta(minutes=30)
    question = Question(("cost", "spend_rate"), start, FIRST + timedelta(days=1), grain=Grain.HOUR)
    for row in answer(loaded, question).iter_rows(named=True):
        hours = 0.5 if row["time"] == FIRST else 1
        assert row["spend_rate"] == pytest.approx(float(row["cost"]) / hours)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(asked=st.lists(questions(grains=(None, Grain.HOUR)), min_size=1, max_size=6))
def test_answers_together_are_the_answers_alone(loaded, asked):
    for question, frame in zip(asked, answers(loaded, asked), strict=True):
        assert_frame_equal(frame, answer(loaded, question))


KNOWN = tuple(name for name in sorted(VALUES) if name not in {"session", "tag:branch"})
SUMMED = tuple(m.name for m in METRICS if m.name not in {"active_sessions", "active_keys", "ledger_lag"})


@st.composite
def conditions(draw, spans):
    """What one condition of a rule asks, of dimensions that the rollups know."""
    scope = draw(st.dictionaries(st.sampled_from(KNOWN), st.none(), max_size=3))
    return Question(
        (draw(st.sampled_from(SUMMED)),),
        *draw(st.sampled_from(spans)),
        by=draw(st.sampled_from([(), ("key",), ("model",), ("status", "key"), ("stream",)])),
        where={
            name: tuple(draw(st.lists(st.sampled_from((*VALUES[name], "nobody's")), min_size=1, max_size=3)))
            for name in scope
        },
        tz=draw(st.sampled_from(ZONES[:2])),
    )


@st.composite
def rule_sets(draw):
    end = draw(MOMENTS)
    spans = [(end - length, end) for length in (timedelta(minutes=7), timedelta(hours=5), timedelta(days=3))]
    return draw(st.lists(conditions(spans[: draw(st.integers(1, 3))]), min_size=8, max_size=25))


@pytest.mark.parametrize(("at_once", "most_rows"), [(1, 200_000), (200_000, 200_000), (200_000, 20)])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(asked=rule_sets())
def test_a_set_of_rules_is_answered_as_each_condition_alone(loaded, at_once, most_rows, asked):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("data.shared.AT_ONCE", at_once)
        patched.setattr("data.shared.MOST_ROWS", most_rows)
        found = answers(loaded, asked)
    for question, frame in zip(asked, found, strict=True):
        assert_frame_equal(frame, answer(loaded, question), rel_tol=1e-12, abs_tol=1e-5)


def test_questions_over_the_same_requests_share_a_read(loaded):
    counting = Counting(loaded)
    asked = [Question((name,), FIRST, LAST, by=("model",)) for name in ("cost", "errors", "cache_hit_rate")]
    assert [frame.columns for frame in answers(counting, asked)] == [["model", q.metrics[0]] for q in asked]
    assert counting.reads == 1


def test_a_tick_of_rules_is_two_reads_a_window(loaded):
    counting = Counting(loaded)
    windows = [(LAST - timedelta(hours=hours), LAST) for hours in (1, 24)]
    asked = [
        Question((name,), *window, by=by, where={"model": (model,)})
        for window in windows
        for name in ("cost", "error_rate", "latency_p95", "ttft_p50")
        for model in ("opus", "sonnet", "other")
        for by in ((), ("key",), ("key", "status"))
    ]
    found = answers(counting, asked)
    assert counting.reads == 4
    for question, frame in zip(asked, found, strict=True):
        assert_frame_equal(frame, answer(loaded, question))


def test_where_the_dimensions_are_too_many_each_question_is_asked_alone(loaded, monkeypatch):
    monkeypatch.setattr("data.shared.MOST_ROWS", 3)
    asked = [Question(("cost",), FIRST, LAST, by=(name,)) for name in ("model", "status", "key")]
    for question, frame in zip(asked, answers(loaded, asked), strict=True):
        assert_frame_equal(frame, answer(loaded, question))


def test_where_the_dimensions_are_too_many_those_that_go_together_share_a_read(loaded, monkeypatch):
    monkeypatch.setattr("data.shared.MOST_ROWS", 4)
    counting = Counting(loaded)
    asked = [
        Question(("cost",), FIRST, LAST, by=(name,), where=where)
        for name in ("model", "key")
        for where in ({}, {name: VALUES[name][:1]}, {name: VALUES[name][1:]})
    ]
    found = answers(counting, asked)
    assert counting.reads == 3
    for question, frame in zip(asked, found, strict=True):
        assert_frame_equal(frame, answer(loaded, question))


def test_limits_hold_in_shared_reads(loaded):
    asked = [
        Question(("requests", "latency_p95"), FIRST, LAST, by=(name,), order_by="requests", limit=2)
        for name in ("model", "status", "outcome")
    ]
    for question, frame in zip(asked, answers(loaded, asked), strict=True):
        assert frame.height == 2
        assert_frame_equal(frame, answer(loaded, question))


def test_a_reader_may_ask(running, config):
    with_reader_role = connect(config, Role.READER)
    question = Question(ALL, FIRST, LAST, by=("model",), grain=Grain.DAY, tz="Europe/Berlin")
    assert answer(with_reader_role, question).is_empty()
    with_reader_role.close()


def test_compiled_is_the_sql_that_runs(loaded):
    sql, params = compiled(Question(("cost",), FIRST, LAST, by=("model",), where={"key": ("key-1",)}))
    assert loaded.sql(sql, params)["cost_usd"].sum() > 0
    assert "key-1" in params
    assert "key-1" not in sql


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"metrics": ("costs",)}, UnknownMetric, "did you mean cost"),
        ({"metrics": ()}, QueryRejected, "at least one metric"),
        ({"metrics": ("cost", "cost")}, QueryRejected, "twice"),
        ({"by": ("modle",)}, UnknownMetric, "did you mean model"),
        ({"by": ("tag",)}, UnknownMetric, "tag:NAME"),
        ({"where": {"teem": ("a",)}}, UnknownMetric, "did you mean team"),
        ({"order_by": "reqests"}, UnknownMetric, "requests"),
        ({"grain": "dya"}, UnknownMetric, "did you mean day"),
        ({"tz": "Europe/Berln"}, UnknownMetric, "Europe/Berlin"),
        ({"start": LAST, "end": FIRST}, QueryRejected, "must end after it starts"),
        ({"end": FIRST}, QueryRejected, "must end after it starts"),
        ({"start": datetime(2026, 1, 1)}, QueryRejected, "time zone"),  # noqa: DTZ001
        ({"where": {"key": "key-1"}}, QueryRejected, "in a tuple"),
        ({"limit": 0}, QueryRejected, "at least 1"),
    ],
    ids=str,
)
def test_what_cannot_be_answered_says_why(loaded, changes, error, words):
    with pytest.raises(error, match=words):
        answer(loaded, Question(**({"metrics": ("cost",), "start": FIRST, "end": LAST} | changes)))


@pytest.mark.parametrize("status", ["0429", "9" * 5000, "70000", "²", "-1", ""])
def test_a_status_that_no_request_can_have_matches_nothing_however_it_is_asked(loaded, status):
    question = Question(("requests",), FIRST, LAST, where={"status": (status,)})
    other = Question(("errors",), FIRST, LAST, where={"status": ("200",)})
    assert answer(loaded, question).item() == 0
    assert answers(loaded, [question, other])[0].item() == 0


def test_values_that_look_like_sql_are_values(loaded):
    nasty = "x' OR 1=1 --"
    question = Question(("requests",), FIRST, LAST, where={"model": (nasty,), f"tag:{nasty}": (nasty,)})
    assert answer(loaded, question).item() == 0
    by_tag = answer(loaded, Question(("requests",), FIRST, LAST, by=(f'tag:{nasty}"',)))
    assert by_tag.rows() == [("", len(RECORDS))]


class Counting:
    def __init__(self, store):
        self.store, self.reads = store, 0

    def sql(self, text, params=(), **limits):
        self.reads += 1
        return self.store.sql(text, params, **limits)
