"""Files to take away: exact, in the viewer's zone, and harmless in a spreadsheet."""

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest

from app import export
from app.controls.span import Span


def frame(**columns) -> pl.DataFrame:
    return pl.DataFrame(columns)


def read(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode())))


@pytest.mark.parametrize("cell", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_a_cell_that_would_run_as_a_formula_gets_an_apostrophe(cell):
    assert read(export.csv(frame(model=[cell])))[0]["model"].startswith("'")


def test_a_column_name_that_would_run_as_a_formula_gets_an_apostrophe():
    assert export.csv(frame(**{"=x": [1]})).startswith(b"'=x")


def test_numbers_stay_numbers_even_below_zero():
    assert read(export.csv(frame(change=[-3.5], cost=[Decimal("-0.000000001")]))) == [
        {"change": "-3.5", "cost": "-0.000000001"}
    ]


def test_quotes_commas_and_line_ends_survive():
    nasty = 'a "b", c\nd'
    assert read(export.csv(frame(model=[nasty, None])))[0]["model"] == nasty


def test_times_carry_the_viewers_offset():
    times = pl.Series("time", [datetime(2026, 7, 1, 22, 0, tzinfo=UTC)], dtype=pl.Datetime("us", "UTC"))
    local = export.localised(pl.DataFrame([times]), "Europe/Berlin")
    assert read(export.csv(local)) == [{"time": "2026-07-02T00:00:00+02:00"}]
    assert json.loads(export.json_rows(local)) == [{"time": "2026-07-02T00:00:00+02:00"}]


def test_json_has_numbers_for_money_and_null_for_nothing():
    rows = json.loads(export.json_rows(frame(cost=[Decimal("1.250000000"), None], model=["=x", "ü"])))
    assert rows == [{"cost": 1.25, "model": "=x"}, {"cost": None, "model": "ü"}]


def test_an_empty_frame_still_has_its_header():
    assert export.csv(pl.DataFrame(schema={"model": pl.String, "cost": pl.Float64})) == b"model,cost\n"


def test_the_file_name_says_subject_range_and_zone():
    span = Span(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC), "UTC")
    assert export.file_name("Cost, by Model", span, "csv") == "cost-by-model_2026-11-01_2026-11-02_UTC.csv"
