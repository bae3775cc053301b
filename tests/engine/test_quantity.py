"""A quantity is its text where it is written, and its number where it is counted with."""

import pytest

from engine.errors import TemplateFault
from engine.quantity import Quantity
from engine.templates import render

SPENT, LIMIT, NOTHING = Quantity("$512.30", 512.3), Quantity("$9.00", 9.0), Quantity("no data", None)
VALUES = {"value": SPENT, "threshold": LIMIT, "nothing": NOTHING}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ value }} of {{ threshold }}", "$512.30 of $9.00"),
        ("{{ value + ' a day' }} {{ value | upper }} {{ value | length }}", "$512.30 a day $512.30 7"),
        ("{{ value * 2 }} {{ value + 1 }} {{ value + threshold }} {{ -threshold }}", "1024.6 513.3 521.3 -9.0"),
        ("{{ value | round }} {{ value | number(0) }} {{ value | int }} {{ value | abs }}", "512.0 512 512 512.3"),
        # as texts the limit would be the greater one
        ("{{ value > threshold }} {{ threshold <= value }} {{ value < 10 }} {{ 10 < value }}", "True True False True"),
        ("{{ value == 512.3 }} {{ value == '$512.30' }} {{ value != 1 }}", "True True True"),
        ("{{ nothing > 1 }} {{ nothing < 1 }} {{ value > nothing }} {{ nothing == 0 }}", "False False False False"),
        ("{{ nothing | round(2) }} {{ nothing | number }} {{ nothing | abs }}", "no data no data no data"),
        ("{{ value is number }} {{ nothing is number }} {{ 'x' is number }}", "True False False"),
    ],
)
def test_it_is_text_and_number(template, text):
    assert render(template, VALUES) == text


@pytest.mark.parametrize("template", ["{{ nothing - 1 }}", "{{ -nothing }}", "{{ value > none }}"])
def test_what_makes_no_sense_is_a_fault(template):
    with pytest.raises(TemplateFault):
        render(template, VALUES)
