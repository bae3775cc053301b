"""Figures and pieces of pages, looked at without a browser."""

from base64 import b64decode
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from app.views import axes, badges, cards, chart, colors, incidents, shaping
from data.metrics import metric

START = datetime(2026, 11, 1, tzinfo=UTC)
COST, REQUESTS, P95 = metric("cost"), metric("requests"), metric("latency_p95")


def series(values: dict[str, list[float | None]], *, name: str = "cost") -> pl.DataFrame:
    """One row an hour and model."""
    rows = [
        {"time": START + timedelta(hours=hour), "model": model, name: value}
        for model, course in values.items()
        for hour, value in enumerate(course)
    ]
    kinds = {"time": pl.Datetime("us", "UTC"), "model": pl.String, name: pl.Float64}
    return pl.DataFrame(rows, schema=kinds)


def luminance(color: str) -> float:
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4
        for part in (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    ]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("background", ["#FFFFFF", "#131417"])
def test_every_series_colour_stands_out_in_light_and_dark(background):
    shades = {*colors.PALETTE, *colors.WARM, *colors.COOL, *colors.VIOLET, *colors.OUTCOMES.values(), colors.OTHER}
    shades |= {shade for line in colors.LINES.values() for shade in line}
    assert {shade: round(contrast(shade, background), 2) for shade in shades if contrast(shade, background) < 3} == {}


def test_a_model_and_a_provider_keep_their_colour_whatever_stands_beside_them():
    alone = colors.color("model", "claude-sonnet-4-5")
    assert colors.colors("model", ["gpt-5", "claude-sonnet-4-5", "zzz"])[1] == alone
    assert colors.color("provider", "openai") == colors.color("provider", "openai")
    assert colors.color("model", "claude-new-9") in colors.WARM


def test_versions_of_one_line_of_models_are_told_apart():
    shades = colors.colors("model", ["claude-opus-5", "claude-opus-5-5"])
    assert shades == [colors.color("model", name) for name in ("claude-opus-5", "claude-opus-5-5")]
    assert len(set(shades)) == 2
    older, newer = ([int(shade[at : at + 2], 16) for at in (1, 3, 5)] for shade in shades)
    assert sum(abs(one - other) for one, other in zip(older, newer, strict=True)) > 90


def test_no_two_values_of_one_chart_look_alike():
    names = [f"model-{n}" for n in range(16)]
    assert not [pair for pair in combinations(colors.colors("model", names), 2) if pair[0] == pair[1]]


def test_a_timeline_has_a_trace_a_value_and_stacks_sums():
    figure = chart.timeline(chart.Course(series({"a": [1, 2], "b": [5, 6]}), [COST], "model"), bars=True)
    assert [trace.name for trace in figure.data] == ["b", "a"]
    assert figure.layout.barmode == "stack"


def test_bars_of_a_percentile_stand_side_by_side():
    course = chart.Course(series({"a": [1, 2], "b": [3, 4]}, name="latency_p95"), [P95], "model")
    assert chart.timeline(course, bars=True).layout.barmode == "group"


def test_beside_stacked_bars_a_percentile_is_lines():
    frame = series({"a": [1, 2]}).with_columns(latency_p95=pl.col("cost"))
    figure = chart.timeline(chart.Course(frame, [COST, P95], "model"), bars=True)
    assert [trace.type for trace in figure.data] == ["bar", "scatter"]
    assert figure.layout.barmode == "stack"


def test_over_stacked_bars_the_range_before_is_one_line_their_sum():
    frame = series({"a": [1, 2], "b": [3, 4]})
    figure = chart.timeline(chart.Course(frame, [COST], "model", before=frame), bars=True)
    assert [trace.type for trace in figure.data] == ["bar", "bar", "scatter"]
    assert list(figure.data[2].y) == [4, 6]


def test_times_are_drawn_on_the_viewers_clock():
    figure = chart.timeline(chart.Course(series({"a": [1.0]}), [COST], "model", "Europe/Berlin"))
    assert datetime.fromtimestamp(figure.data[0].x[0] / 1000, UTC) == START + timedelta(hours=1)


def test_a_long_latency_is_drawn_in_seconds():
    drawn = axes.scale(P95, pl.Series([900.0, 6_500.0, None]))
    assert (drawn.divisor, drawn.suffix) == (1_000, " s")
    assert axes.scale(P95, pl.Series([900.0])).suffix == " ms"


def test_a_hole_stays_a_hole_and_a_lonely_point_is_marked():
    figure = chart.timeline(chart.Course(series({"a": [1, None, 3, None, 4, 5]}), [COST], "model"))
    assert np.isnan(figure.data[0].y[1])
    assert figure.data[0].mode == "lines+markers"
    assert chart.timeline(chart.Course(series({"a": [1, 2, 3]}), [COST], "model")).data[0].mode == "lines"


def test_many_points_are_thinned_and_the_spike_stays():
    values = [1.0] * 50_000
    values[31_337] = 99.0
    figure = chart.timeline(chart.Course(series({"a": values}), [COST], "model"))
    assert len(figure.data[0].x) <= shaping.MAX_POINTS
    assert max(figure.data[0].y) == 99.0


def test_the_range_before_lies_over_this_one():
    now = series({"a": [1, 2, 3]})
    before = series({"a": [7, 8]}).with_columns(pl.col("time") - timedelta(days=7))
    moved = shaping.shifted(before, now)
    assert moved["time"].to_list() == now["time"].head(2).to_list()
    ghost = chart.timeline(chart.Course(now, [COST], "model", before=moved)).data[0]
    assert (ghost.name, ghost.line.dash) == ("a, before", "dot")


def test_what_is_too_small_becomes_other_and_nothing_is_lost():
    frame = series({f"m{n}": [float(n)] for n in range(12)})
    folded, hidden = shaping.folded(frame, "model", [COST], keep=4)
    assert hidden == 0
    assert shaping.largest(folded, "model", "cost") == ["m11", "m10", "m9", "Other"]
    assert folded["cost"].sum() == frame["cost"].sum()


def test_what_has_no_value_takes_nobodys_place():
    frame = series({"(none)": [99.0]} | {f"m{n}": [float(n)] for n in range(4)})
    assert shaping.folded(frame, "model", [COST], keep=4) == (frame, 0)
    folded, _ = shaping.folded(frame, "model", [COST], keep=3)
    assert shaping.largest(folded, "model", "cost") == ["m3", "m2", "(none)", "Other"]
    assert colors.colors("project", ["(none)", "a"])[0] == colors.NOBODY


def test_what_is_not_known_does_not_become_zero_in_other():
    frame = series({"a": [3.0], "b": [None], "c": [None]})
    folded, _ = shaping.folded(frame, "model", [COST], keep=2)
    assert folded.filter(pl.col("model") == "Other")["cost"].to_list() == [None]


def test_percentiles_do_not_add_up_so_the_small_ones_are_left_out():
    frame = series({f"m{n}": [float(n)] for n in range(12)}, name="latency_p95")
    folded, hidden = shaping.folded(frame, "model", [P95], keep=4)
    assert (folded.height, hidden) == (4, 8)


def test_a_ranking_is_read_from_above():
    frame = pl.DataFrame({"model": ["big", "small"], "cost": [9.0, 1.0], "requests": [1, 2]})
    figure = chart.ranking(frame, [COST, REQUESTS], by="model")
    assert len(figure.data) == 2
    assert figure.layout.yaxis.autorange == "reversed"


def test_a_sparkline_leaves_holes_and_keeps_the_spike():
    picture = b64decode(cards.sparkline([1, None, 2, 3]).split("base64,")[1][:-2]).decode()
    assert picture.count("<polyline") == 2
    thinned = cards._thinned([1.0] * 500 + [50.0] + [1.0] * 500)
    assert len(thinned) <= cards.MOST_POINTS
    assert max(value for value in thinned if value is not None) == 50.0


@pytest.mark.parametrize("course", [[], [1.0], [None, None], [0, 0, 0]])
def test_a_sparkline_of_nothing_is_not_drawn(course):
    assert cards.sparkline(course) == ""


@pytest.mark.parametrize(
    ("name", "now", "before", "mood"),
    [
        ("cost", Decimal(12), Decimal(10), "bad"),
        ("cost", Decimal(8), Decimal(10), "good"),
        ("cache_hit_rate", 90.0, 80.0, "good"),
        ("requests", 12, 10, ""),
    ],
)
def test_a_card_colours_a_change_by_the_better_direction(name, now, before, mood):
    drawn = cards._card(cards.Card(metric(name), now, before, []))
    assert ("good" in drawn, "bad" in drawn) == (mood == "good", mood == "bad")
    assert ("▲" if now > before else "▼") in drawn


def test_a_card_without_a_value_before_says_so():
    assert "nothing before" in cards._card(cards.Card(COST, Decimal(3), None, []))


@pytest.mark.parametrize("word", [*badges.SEVERITIES, *badges.STATES])
def test_a_sign_is_never_colour_alone(word):
    assert word.replace("_", " ").capitalize() in badges.text(word)
    assert ":material/" in badges.text(word)


def test_words_of_others_are_not_markup():
    assert incidents.plain("[x](http://e) $1 *b* :red[r]") == r"\[x\]\(http\://e\) \$1 \*b\* \:red\[r\]"
