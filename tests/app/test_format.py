"""Numbers and times as people read them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app.views import format as form


@pytest.mark.parametrize(
    ("value", "unit", "short", "expected"),
    [
        (Decimal("12345.678"), "usd", False, "$12,345.68"),
        (Decimal("12345.678"), "usd", True, "$12,345.68"),
        (Decimal(1234567), "usd", True, "$1.23M"),
        (Decimal("0.000123456"), "usd", False, "$0.0001235"),
        (0.000003, "usd", False, "$0.000003"),
        (Decimal(0), "usd", False, "$0.00"),
        (-3, "usd", False, "-$3.00"),
        (1.5, "usd/h", False, "$1.50/h"),
        (9_999, "requests", True, "9,999"),
        (10_000, "requests", True, "10.0K"),
        (80_312_345, "tokens", True, "80.3M"),
        (999_960, "tokens", True, "1.00M"),
        (80_312_345, "tokens", False, "80,312,345"),
        (0.412, "percent", False, "0.41%"),
        (0, "percent", False, "0.0%"),
        (99.94, "percent", False, "99.9%"),
        (840.4, "ms", False, "840 ms"),
        (6_740, "ms", False, "6.74 s"),
        (125_000, "ms", False, "2 min 05 s"),
        (90, "s", False, "90.0 s"),
        (41.26, "tokens/s", False, "41.3 tok/s"),
        (None, "usd", False, "\u2013"),
        (float("nan"), "ms", False, "\u2013"),
    ],
)
def test_a_quantity_reads_in_its_unit(value, unit, short, expected):
    assert form.quantity(value, unit, short=short) == expected


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [(120, 100, 20.0), (Decimal(50), 100, -50.0), (5, 0, None), (None, 3, None), (5, -10, 150.0)],
)
def test_a_change_from_nothing_means_nothing(now, before, expected):
    assert form.change(now, before) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(12.34, "+12.3%"), (-4, "-4.0%"), (1240, "\u00d713.4"), (-0.01, "+0.0%"), (123_900, "\u00d71,240")],
)
def test_a_change_carries_its_sign(value, expected):
    assert form.signed_percent(value) == expected


def test_a_moment_is_told_on_the_viewers_clock():
    at = datetime(2026, 11, 23, 23, 30, 5, tzinfo=UTC)
    assert form.moment(at, "Europe/Berlin") == "24 Nov 2026, 00:30"
    assert form.moment(at, "America/New_York", seconds=True) == "23 Nov 2026, 18:30:05"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "just now"), (40, "40 s ago"), (125, "2 min ago"), (7_300, "2 h ago"), (200_000, "2 d ago"), (-5, "just now")],
)
def test_how_long_ago(seconds, expected):
    now = datetime(2026, 11, 23, tzinfo=UTC)
    assert form.ago(now - timedelta(seconds=seconds), now) == expected
