"""The picture of a mail: its size, what lies where, and its labels."""

import io
import math
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from engine.chart_image import HEIGHT, WIDTH, Chart, _marks, _moments, png, short

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
RISING = [(NOON + n * MINUTE, float(n)) for n in range(61)]


def chart(points=RISING, threshold: float = 40.0, **more: object) -> Chart:
    fields = {"title": "Cost", "limit": "above $40", "unit": "usd", "fires_since": NOON + 40 * MINUTE}
    return Chart(points=points, threshold=threshold, **{**fields, "colour": "#dc2626", **more})


def drawn(made: Chart) -> Image.Image:
    return Image.open(io.BytesIO(png(made))).convert("RGB")


def like(found: tuple[int, ...], colour: tuple[int, int, int]) -> bool:
    return all(abs(a - b) <= 12 for a, b in zip(found, colour, strict=True))


BLUE, RED, PALE_RED, PALE_BLUE, WHITE = (37, 99, 235), (220, 38, 38), (253, 236, 236), (219, 231, 254), (255, 255, 255)


def test_the_line_the_area_below_it_the_threshold_and_the_firing_span_lie_where_they_belong():
    image = drawn(chart())
    assert image.size == (2 * WIDTH, 2 * HEIGHT)
    left, right, top, bottom = 116, 1164, 76, 348
    middle = (left + right) // 2
    column = [image.getpixel((middle, y)) for y in range(top, bottom)]
    line = [y for y, colour in enumerate(column) if like(colour, BLUE)]
    assert line
    assert like(image.getpixel((middle, bottom - 20)), PALE_BLUE)
    assert like(image.getpixel((right - 120, top + 4)), PALE_RED)
    assert like(image.getpixel((left + 40, top + 4)), WHITE)
    dashes = {y for y in range(top, bottom) for x in range(left, left + 60) if like(image.getpixel((x, y)), RED)}
    assert dashes
    # the threshold, 40, lies above the line's 30 in the middle, and below its 60 at the end
    assert max(dashes) < top + min(line)
    end = [y for y in range(top, bottom) if like(image.getpixel((right - 2, y)), BLUE)]
    assert min(end) < min(dashes)


def test_each_time_that_it_fired_is_shaded():
    spans = [(NOON + n * MINUTE, NOON + (n + 10) * MINUTE) for n in (10, 40)]
    image = drawn(chart(fired=spans, threshold=70.0))
    shaded = [like(image.getpixel((116 + round(1048 * n / 60), 90)), PALE_RED) for n in (5, 15, 30, 45, 55)]
    assert shaded == [False, True, False, True, False]


def test_a_gap_is_a_gap():
    points = [(at, None if 20 <= n <= 40 else value) for n, (at, value) in enumerate(RISING)]
    image = drawn(chart(points, fires_since=NOON + HOUR))
    assert like(image.getpixel((640, 340)), WHITE)
    assert like(image.getpixel((200, 345)), PALE_BLUE)


@pytest.mark.parametrize(
    "values",
    [[0, 0], [None, None], [-5, 5], [1e15, 1e-9], [None, 3], [1e-12, 2e-12], [7, 7, 7]],
    ids=["zeros", "nothing", "below zero", "huge", "one", "tiny", "flat"],
)
@pytest.mark.parametrize("threshold", [0.0, -3.0, 1e9])
def test_whatever_was_measured_can_be_drawn(values, threshold):
    points = [(NOON + n * MINUTE, value) for n, value in enumerate(values)]
    assert drawn(chart(points, threshold, title="x" * 500)).size == (2 * WIDTH, 2 * HEIGHT)


def test_one_point_is_no_line():
    with pytest.raises(ValueError, match="two points"):
        png(chart(RISING[:1]))


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0, "usd", "$0"),
        (1500, "usd", "$1.5k"),
        (0.0025, "usd", "$0.0025"),
        (80, "percent", "80 %"),
        (-20, "percent", "-20 %"),
        (2e6, "tokens", "2M"),
        (2.5e9, "tokens", "2.5B"),
    ],
)
def test_values_are_short(value, unit, words):
    assert short(value, unit) == words


@pytest.mark.parametrize("high", [0.003, 1, 7, 99, 100, 12_345, 8e9])
def test_marks_are_round_and_few_and_hold_what_is_drawn(high):
    marks = _marks(0.0, high)
    assert 3 <= len(marks) <= 6
    assert marks[-1] >= high * 0.8
    step = marks[1] - marks[0]
    assert round(step / 10 ** math.floor(math.log10(step) + 1e-9), 6) in (1, 2, 2.5, 5)


@pytest.mark.parametrize(
    ("span", "first"),
    [(HOUR, "12:10"), (12 * HOUR, "14:00"), (2 * DAY, "2 Mar"), (90 * DAY, "21 Mar")],
    ids=["an hour", "half a day", "two days", "three months"],
)
def test_times_are_round_and_few(span, first):
    found = _moments(NOON + MINUTE, NOON + MINUTE + span)
    assert 2 <= len(found) <= 7
    assert found[0][1] == first
