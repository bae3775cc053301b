"""Numbers and times as people read them; one way for every card, chart, table and sentence."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias
from zoneinfo import ZoneInfo

NOTHING = "\u2013"
MANYFOLD = 1_000.0  # percent from which a change is told as a multiple
Number: TypeAlias = int | float | Decimal

_STEPS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


def money(value: Number, *, short: bool = False) -> str:
    """US dollars: cents from one cent up, four significant digits below; `short` humanises from 100,000 on."""
    sign, size = ("-", -value) if value < 0 else ("", value)
    if size == 0:
        return "$0.00"
    if short and size >= 100_000:
        return f"{sign}${_humanised(float(size))}"
    if size >= Decimal("0.01"):
        return f"{sign}${size:,.2f}"
    return f"{sign}${_significant(float(size))}"


def count(value: Number, *, short: bool = False) -> str:
    """A whole number with separators, or humanised (`1.24M`) from 10,000 on."""
    if short and abs(float(value)) >= 10_000:
        return _humanised(float(value))
    return f"{value:,.0f}"


def duration(milliseconds: Number) -> str:
    """Milliseconds as `840 ms`, `1.23 s` or `2 min 05 s`."""
    value = float(milliseconds)
    if abs(value) < 1_000:
        return f"{value:,.0f} ms"
    if abs(value) < 120_000:
        return f"{value / 1_000:,.{2 if abs(value) < 10_000 else 1}f} s"
    minutes, seconds = divmod(round(value / 1_000), 60)
    return f"{minutes:,} min {seconds:02d} s"


def percent(value: Number) -> str:
    """A percentage with one decimal, two below one percent."""
    return f"{value:.2f}%" if 0 < abs(float(value)) < 1 else f"{value:.1f}%"


def quantity(value: Number | None, unit: str, *, short: bool = False) -> str:
    """`value` in the metric registry's `unit`; a dash where there is none."""
    if value is None or value != value:  # noqa: PLR0124 - NaN is the one value that differs from itself
        return NOTHING
    if unit.startswith("usd"):
        return money(value, short=short) + unit.removeprefix("usd")
    if unit in _WRITERS:
        return _WRITERS[unit](value)
    return count(value, short=short)


_WRITERS: dict[str, Callable[[Number], str]] = {
    "ms": duration,
    "s": lambda value: duration(value * 1_000),
    "percent": percent,
    "tokens/s": lambda value: f"{value:,.1f} tok/s",
}


def change(now: Number | None, before: Number | None) -> float | None:
    """Change in percent from `before` to `now`; None where it means nothing (no value, or from zero)."""
    if now is None or before is None or not before:
        return None
    return (float(now) - float(before)) / abs(float(before)) * 100


def signed_percent(value: float) -> str:
    """`+12.3%`, `-4.0%`, and from a thousand percent on how many times the value before."""
    if value < MANYFOLD:
        return f"{round(value, 1) + 0.0:+,.1f}%"  # the sum makes -0.0 a plain zero
    times = value / 100 + 1
    return f"\u00d7{times:,.1f}" if times < MANYFOLD / 10 else f"\u00d7{times:,.0f}"


def moment(at: datetime, tz: str, *, seconds: bool = False) -> str:
    """An instant in the viewer's zone: `24 Nov 2026, 14:05`."""
    local = at.astimezone(ZoneInfo(tz))
    return f"{local.day} {local:%b %Y, %H:%M:%S}" if seconds else f"{local.day} {local:%b %Y, %H:%M}"


def ago(at: datetime, now: datetime) -> str:
    """How long before `now`: `just now`, `40 s ago`, `12 min ago`, `3 h ago`, `5 d ago`."""
    seconds = max(0, int((now - at).total_seconds()))
    if seconds < 5:
        return "just now"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _humanised(value: float) -> str:
    size = abs(value)
    for index, (step, suffix) in enumerate(_STEPS):
        if size >= step:
            scaled = value / step
            digits = 2 if abs(scaled) < 10 else 1 if abs(scaled) < 100 else 0
            text = f"{scaled:.{digits}f}"
            if float(text) >= 1_000 and index:
                return _humanised(float(text) * step)
            return text + suffix
    return f"{value:,.0f}"


def _significant(value: float) -> str:
    """Four significant digits without an exponent, no trailing zeros."""
    text = f"{Decimal(f'{value:.3e}'):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
