"""Incidents are found by what was said about them."""

import pytest

from data.queries.alerts import HistoryFilter
from engine import handling, incidents
from engine.tick import tick
from tests.engine.traffic import NOON, SECOND, rows, spend, watch


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("BATCH", ["a"]),
        ("100%", ["a"]),
        ("50%", []),
        ("looks", ["b", "a"]),
        ("rolled back", ["b"]),
        ("nobody said", []),
    ],
)
def test_every_comment_of_an_incident_is_searched(store, text, names):
    tick_of(store, "a", "b", "c")
    found = dict(rows(store, "alerts", "rule_name", "id"))
    for words in ("looks like the Batch job", "100% of it"):
        handling.comment(store, [found["a"]], by="ada", comment=words)
    handling.comment(store, [found["b"]], by="ada", comment="looks odd")
    incidents.resolve(store, [found["b"]], by="ada", comment="rolled back")
    assert [each["rule_name"] for each in incidents.history(store, HistoryFilter(text=text))] == names


def tick_of(store, *names):
    """Let rules of these names fire."""
    watched = [watch(store, name=name) for name in names]
    spend(store, NOON - SECOND, "2")
    tick(store, watched, NOON)
