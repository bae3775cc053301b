"""What the simulation draws: bands, thresholds in their units, groups by name; and where a slider may go."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from app.controls.trial import coarser, instants, reach, with_first
from app.incident_course import around, narrowed, unit
from app.views import simulation
from engine.bucket import Limit
from engine.durations import duration
from engine.history import Grid, load
from engine.rule import parse
from engine.simulate import Band, replay, simulate
from engine.state import State
from engine.surroundings import Surroundings

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
COST = {"metric": "cost", "window": "1h", "op": ">", "value": 5, "recovery": 4}
CHANGE = {"metric": "cost", "window": "1h", "op": "<", "value": -20, "compare": {"to": "1d"}}


def rule(*conditions, **fields):
    return parse({"name": "x", "when": {"all": list(conditions)}, **fields})


def band(state: State, start: int, end: int, model: str = "a") -> Band:
    return Band({"model": model}, state, START + start * HOUR, START + end * HOUR)


def test_bands_of_several_groups_that_overlap_are_one():
    bands = [
        band(State.FIRING, 3, 5, "b"),
        band(State.FIRING, 0, 4),
        band(State.FIRING, 7, 8),
        band(State.NORMAL, 0, 9),
    ]
    found = [(state, (end - start) / HOUR) for state, start, end in simulation.stretches(bands)]
    assert found == [(State.FIRING, 5.0), (State.FIRING, 1.0)]


def test_no_bands_are_no_stretches():
    assert simulation.stretches([]) == []


@pytest.mark.parametrize(
    ("every", "step"),
    [
        ("5m", "5m"),
        ("1h", "1h"),
        ("7m", "7m"),
        pytest.param("10s", "1m", id="at some of its instants"),
        pytest.param("45s", "90s", id="at none that are not its own"),
    ],
)
def test_a_rule_is_simulated_at_instants_at_which_the_worker_looks(every, step):
    start, end = START + timedelta(minutes=13), START + timedelta(days=7, minutes=13)
    asked = rule(COST, every=every)
    grid = instants(asked, start, end)
    live = Grid.full(start, end, asked.every)
    assert grid == Grid.full(start, end, duration(step))
    assert set(grid.times()) <= set(live.times())


def test_that_a_simulation_looks_less_often_than_the_rule_is_said():
    fine, coarse = (rule(COST, every=every) for every in ("5m", "10s"))
    assert coarser(fine, instants(fine, START, START + HOUR)) == ""
    said = coarser(coarse, instants(coarse, START, START + HOUR))
    assert said == " Simulated every minute, where the rule looks every 10 seconds: what is shorter may be missing."


def series(value: float | None):
    def ask(*, by, start, end, step, **_):
        times = pl.datetime_range(start, end, step, closed="left", time_zone="UTC", eager=True)
        names = {name: ["<b>one</b>"] * len(times) for name in by}
        return pl.DataFrame(
            {"time": times, **names, "value": [value] * len(times)}, schema_overrides={"value": pl.Float64}
        )

    return ask


def test_a_figure_has_the_threshold_in_its_unit_and_the_bands_in_its_legend():
    asked = rule(COST, group_by=["model"], notify=["ops"])
    made = simulate(asked, series(7.5), START, START + 6 * HOUR)
    drawn = simulation.figure(asked, made, "UTC")
    assert any("$5" in str(each.text) for each in drawn.layout.annotations)
    assert {trace.name for trace in drawn.data} >= {"firing", "notice sent"}
    assert "<b>" not in "".join(str(trace.name) for trace in drawn.data)
    assert drawn.layout.yaxis.tickprefix == "$"


def test_both_thresholds_of_a_rule_that_warns_are_drawn_and_each_value_once():
    asked = rule({**COST, "warn": 3}, group_by=["model"], notify=["ops"])
    drawn = simulation.figure(asked, simulate(asked, series(7.5), START, START + 6 * HOUR), "UTC")
    assert [each.text for each in drawn.layout.annotations][-2:] == ["&gt; $5", "&gt; $3"]
    assert sum(trace.mode == "lines" for trace in drawn.data) == 1


@pytest.mark.parametrize(("level", "threshold"), [("critical", 5), ("warn", 3)])
def test_an_incident_is_drawn_with_the_threshold_of_its_level(level, threshold):
    found = narrowed(rule({**COST, "warn": 3}, group_by=["model"]), {"model": "a", "level": level})
    assert (found.conditions[0].value, found.conditions[0].warn, found.where) == (threshold, None, {"model": ("a",)})


@pytest.mark.parametrize(("value", "warn"), [(4, 3), (2, None)], ids=["still before it", "beyond it"])
def test_another_threshold_keeps_the_warning_that_comes_before_it(value, warn):
    tried = with_first(rule({**COST, "warn": 3}, notify=["ops"], warn_notify=["desk"]), value)
    assert [(c.value, c.recovery, c.warn) for c in tried.conditions] == [(value, None, warn)]


def test_a_change_in_percent_is_drawn_in_percent():
    asked = rule(COST, CHANGE)
    drawn = simulation.figure(asked, simulate(asked, series(7.5), START, START + 6 * HOUR), "Asia/Tokyo")
    assert drawn.layout.yaxis2.ticksuffix == "%"


@pytest.mark.parametrize(("value", "there"), [(7.5, True), (None, False)])
def test_whether_there_is_anything_to_draw(value, there):
    asked = rule({"metric": "latency_p95", "window": "1h", "op": ">", "value": 5})
    assert simulation.measured(simulate(asked, series(value), START, START + 6 * HOUR)) is there


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [(10.0, 0.0, 30.0), (0.004, 0.0, 0.012), (-20.0, -60.0, 0.0), (0.0, 0.0, 100.0)],
    ids=["tens", "fractions of a cent", "negative", "zero"],
)
def test_a_slider_reaches_around_the_threshold(value, low, high):
    begin, end, step = reach(value)
    assert (begin, end) == pytest.approx((low, high))
    assert begin <= value <= end
    assert 0 < step <= (end - begin) / 10


@pytest.mark.parametrize(("threshold", "said"), [(5.0, "usd"), (4.0, "usd"), (-20.0, "percent"), (99.0, "")], ids=str)
def test_the_unit_of_a_value_is_that_of_the_condition_with_its_threshold(threshold, said):
    assert unit(rule(COST, CHANGE), threshold) == said


def test_without_a_rule_no_unit_is_known():
    assert unit(None, 5.0) == ""


def test_a_rule_is_narrowed_to_its_group():
    found = narrowed(rule(COST, group_by=["model"], where={"team": "a"}), {"model": "gpt-5", "other": "x"})
    assert found.where == {"team": ("a",), "model": ("gpt-5",)}


def test_the_time_around_an_open_incident_ends_now():
    now = START + HOUR
    grid = around(START, None, now, timedelta(seconds=10))
    assert (grid.start, grid.end) == (START - HOUR / 2, now)


def test_a_long_incident_is_looked_at_in_long_steps():
    grid = around(START, START + timedelta(days=30), START + timedelta(days=60), timedelta(seconds=10))
    assert len(grid) <= 1_500
    assert grid.start == START - timedelta(days=1)


def test_a_line_says_how_much_was_told_and_what_was_kept_silent():
    asked = rule(COST, group_by=["model"], notify=["ops"], grouping=False)

    def five(*, by, start, end, step, **_):
        frames = [
            series(7.5)(by=(), start=start, end=end, step=step).with_columns(model=pl.lit(f"m{n}")) for n in range(5)
        ]
        return pl.concat(frames).select("time", *by, "value")

    tight = Surroundings(limits={"ops": Limit(per_minute=0.5, burst=1)})
    grid = Grid(START, START + HOUR, timedelta(minutes=1))
    made = replay(asked, load(asked, five, grid), tight)
    assert simulation.summary(made) == ("1 notice; 1 digest; 4 kept silent (4 rate limited); at most 2 a day, to ops.")
    assert simulation.summary(simulate(asked, series(1.0), START, START + HOUR)) == "0 notices; 0 digests."
