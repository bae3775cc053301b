import tracemalloc

import polars as pl

from data import cells
from data.periods import Grain
from data.pieces import Scope
from tests.data.oracle import FIRST, LAST

SCOPE = Scope(FIRST, LAST, grain=Grain.MINUTE)


class Telling:
    """A store that answers with the given texts, one a minute."""

    def __init__(self, texts):
        self.answer = pl.DataFrame({"cell": range(len(texts)), "value": texts}, schema_overrides={"value": pl.String})

    def sql(self, *_asked, **_limits):
        return self.answer


def test_each_text_has_a_number_of_its_own_and_none_is_zero():
    ((group, found),) = cells.values(Telling(["b", "", "a", "b", ""]), SCOPE, "session")
    numbers = found.columns["value"].tolist()
    assert (group, numbers[1], numbers[4]) == ((), 0, 0)
    assert numbers[0] == numbers[3]
    assert len({*numbers}) == 3


def test_only_nothing_known_has_no_number():
    ((_, found),) = cells.values(Telling(["", ""]), SCOPE, "session")
    assert found.columns["value"].tolist() == [0, 0]
    assert list(cells.values(Telling([]), SCOPE, "session")) == []


def test_no_text_becomes_an_object_of_pythons():
    texts = [f"session-{number:032d}" for number in range(100_000)]
    store = Telling(texts)
    del texts
    tracemalloc.start()
    try:
        ((_, found),) = cells.values(store, SCOPE, "session")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.times) == 100_000
    assert most < 6_000_000
