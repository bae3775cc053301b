"""A small chart as a PNG: a line over time, the threshold, and since when it fires. Pure, in Pillow.

Made for mails: opaque and light, so that it reads the same where the mail around it is dark.
"""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

#: As it is shown; it has twice as many pixels each way.
WIDTH: Final = 600
HEIGHT: Final = 200
_SCALE: Final = 2
#: Shapes are drawn larger by this, and made smaller: so their edges are smooth.
_FINER: Final = 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 18, 38, 26
_PAPER, _FRAME, _GRID, _INK, _FAINT = "#ffffff", "#cbd5e1", "#e2e8f0", "#0f172a", "#64748b"
_LINE, _AREA, _FIRING = "#2563eb", "#dbe7fe", "#fdecec"
_DAY: Final = timedelta(days=1)
_STEPS: Final = tuple(
    timedelta(minutes=minutes)
    for minutes in (5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 20160, 43200, 86400)
)
_EPOCH: Final = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn. `points` ascend in time, aware UTC; None: nothing was measured. `colour` is the threshold's.

    `fired` are the spans in which it fired, where it did so several times, the one since `fires_since` too.
    """

    title: str
    limit: str
    unit: str
    points: Sequence[tuple[datetime, float | None]]
    threshold: float
    fires_since: datetime
    colour: str
    fired: Sequence[tuple[datetime, datetime]] = ()


class _Frame:
    """Where times and values lie, in pixels of the final picture."""

    def __init__(self, chart: Chart) -> None:
        self.first, self.last = chart.points[0][0], chart.points[-1][0]
        known = [value for _, value in chart.points if value is not None] + [chart.threshold]
        self.marks = _marks(min(0.0, *known), max(0.0, *known) * 1.08 or 1.0)
        low, high = self.marks[0], max(self.marks[-1], *known)
        self._low, self._per = low, (HEIGHT - _TOP - _BOTTOM) / (high - low)
        self._per_s = (WIDTH - _LEFT - _RIGHT) / max((self.last - self.first).total_seconds(), 1.0)

    def x(self, at: datetime) -> float:
        """A time's place."""
        inside = min(max(at, self.first), self.last)
        return (_LEFT + (inside - self.first).total_seconds() * self._per_s) * _SCALE

    def y(self, value: float) -> float:
        """A value's place."""
        return (HEIGHT - _BOTTOM - (value - self._low) * self._per) * _SCALE


def png(chart: Chart) -> bytes:
    """The picture; raises ValueError without two points."""
    # imported here: most notices need no picture, and it costs memory
    from PIL import Image, ImageDraw  # noqa: PLC0415

    if len(chart.points) < 2:
        raise ValueError("a line needs two points")
    frame = _Frame(chart)
    size = WIDTH * _SCALE * _FINER, HEIGHT * _SCALE * _FINER
    image = Image.new("RGB", size, _PAPER)
    _shapes(ImageDraw.Draw(image), chart, frame)
    image = image.reduce(_FINER)
    _texts(ImageDraw.Draw(image), chart, frame)
    out = io.BytesIO()
    image.quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(out, "PNG")
    return out.getvalue()


def _shapes(draw: Any, chart: Chart, frame: _Frame) -> None:
    def at(*places: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x * _FINER, y * _FINER) for x, y in places]

    one, left, right = _SCALE * _FINER, _LEFT * _SCALE, (WIDTH - _RIGHT) * _SCALE
    top, bottom = _TOP * _SCALE, (HEIGHT - _BOTTOM) * _SCALE
    fired = [(frame.x(begun), frame.x(ended)) for begun, ended in chart.fired] or [(frame.x(chart.fires_since), right)]
    for begun, ended in fired:
        draw.rectangle(at((begun, top), (ended, bottom)), fill=_FIRING)
    runs = list(_runs(chart, frame))
    base = frame.y(max(0.0, frame.marks[0]))
    for run in runs:
        draw.polygon(at((run[0][0], base), *run, (run[-1][0], base)), fill=_AREA)
    for mark in frame.marks:
        draw.line(at((left, frame.y(mark)), (right, frame.y(mark))), fill=_GRID, width=one // 2)
    for begun, _ in fired:
        draw.line(at((begun, top), (begun, bottom)), fill=chart.colour, width=one // 2)
    for run in runs:
        draw.line(at(*run), fill=_LINE, width=2 * one, joint="curve")
    threshold = frame.y(chart.threshold)
    for dash in range(left, right, 16):
        draw.line(at((dash, threshold), (min(dash + 10, right), threshold)), fill=chart.colour, width=one * 3 // 2)
    if runs:
        (x, y), radius = at(runs[-1][-1])[0], 4 * one
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_LINE, outline=_PAPER, width=one * 3 // 2)
    draw.rectangle((0, 0, WIDTH * one - 1, HEIGHT * one - 1), outline=_FRAME, width=one // 2)


def _texts(draw: Any, chart: Chart, frame: _Frame) -> None:
    from PIL import ImageFont  # noqa: PLC0415 - as above

    title, small = (ImageFont.load_default(size * _SCALE) for size in (13, 11))
    top, right = 11 * _SCALE, (WIDTH - _RIGHT) * _SCALE
    draw.text((14 * _SCALE, top), _fitting(chart.title, title, 360), fill=_INK, font=title)
    draw.text(
        (right, top), _fitting(f"threshold: {chart.limit}", small, 190), fill=chart.colour, font=small, anchor="ra"
    )
    draw.text((14 * _SCALE, (HEIGHT - 8) * _SCALE), "UTC", fill=_FAINT, font=small, anchor="ls")
    for mark in frame.marks:
        place = (_LEFT - 8) * _SCALE, frame.y(mark)
        draw.text(place, short(mark, chart.unit), fill=_FAINT, font=small, anchor="rm")
    for at, text in _moments(frame.first, frame.last):
        draw.text((frame.x(at), (HEIGHT - 8) * _SCALE), text, fill=_FAINT, font=small, anchor="ms")


def _fitting(text: str, font: Any, width: int) -> str:
    cut = text
    while font.getlength(cut) > width * _SCALE:
        cut = cut.removesuffix("...")[:-1].rstrip() + "..."
    return cut


def _runs(chart: Chart, frame: _Frame) -> Iterator[list[tuple[float, float]]]:
    """The line's parts, without the gaps; a point by itself is a short stroke."""
    run: list[tuple[float, float]] = []
    for at, value in (*chart.points, (frame.last, None)):
        if value is not None:
            run.append((frame.x(at), frame.y(value)))
        elif run:
            yield run if len(run) > 1 else [(run[0][0] - _SCALE, run[0][1]), run[0]]
            run = []


def _marks(low: float, high: float) -> list[float]:
    """Three to six round values around both."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step - 0.2)
    return [n * step for n in range(first, max(last, first + 1) + 1)]


def _moments(first: datetime, last: datetime) -> list[tuple[datetime, str]]:
    """Round times between both, some five, with their labels in UTC."""
    span = last - first
    step = next((step for step in _STEPS if span / step <= 6), _STEPS[-1])
    at, found = _EPOCH + -((_EPOCH - first) // step) * step, []
    while at <= last:
        text = f"{at.day} {at:%b}" if step >= _DAY or (span > _DAY and at.hour == at.minute == 0) else f"{at:%H:%M}"
        if at - first > span / 40 and last - at > span / 40:
            found.append((at, text))
        at += step
    return found


def short(value: float, unit: str) -> str:
    """A value in few characters: `$1.5k`, `80 %`, `2M`."""
    size, suffix = abs(value), ""
    for limit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= limit:
            size, suffix = size / limit, letter
            break
    number = f"{size:.4f}".rstrip("0").rstrip(".") if size < 1 else f"{size:.2f}".rstrip("0").rstrip(".")
    money = "$" if unit.startswith("usd") else ""
    return f"{'-' if value < 0 else ''}{money}{number}{suffix}{' %' if unit == 'percent' else ''}"
