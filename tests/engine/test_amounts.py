import pytest

from engine.amounts import quantity, with_unit


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (1234567.891, "usd", "$1,234,567.89"),
        (0.000123, "usd", "$0.000123"),
        (-3.5, "usd/h", "-$3.50/h"),
        (0.5, "usd", "$0.50"),
        (99.999999999, "percent", "100 %"),
        (8000.0, "ms", "8,000 ms"),
        (-0.0, "tokens", "0 tokens"),
    ],
)
def test_thresholds_carry_their_unit(value: float, unit: str, expected: str):
    assert with_unit(value, unit) == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (None, "usd", "no data"),
        (512.345, "usd", "$512.35"),
        (1234.5, "usd", "$1,234.50"),
        (2, "usd", "$2.00"),
        (0, "usd", "$0.00"),
        (-12.5, "usd", "-$12.50"),
        (-12.5, "usd/h", "-$12.50/h"),
        (0.0123, "usd", "$0.0123"),
        (-0.004212, "usd", "-$0.004212"),
        (0.004, "percent", "0.004 %"),
        (-0.25, "percent", "-0.25 %"),
        (12.3456, "percent", "12.35 %"),
        (-41.0, "percent", "-41 %"),
        (8120.4, "ms", "8,120 ms"),
        (-8120.4, "ms", "-8,120 ms"),
        (999.999, "ms", "1,000 ms"),
        (100.0, "requests", "100 requests"),
        (-0.0, "tokens", "0 tokens"),
        (7, "", "7"),
    ],
)
def test_what_was_measured_is_told_to_what_matters(value: float | None, unit: str, expected: str):
    assert quantity(value, unit) == expected
