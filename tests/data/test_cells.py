import tracemalloc
from collections import Counter

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from data import cells
from data.periods import Grain
from data.pieces import Scope
from tests.data.oracle import FIRST, LAST

SCOPE = Scope(FIRST, LAST, grain=Grain.MINUTE)


def telling(texts):
    """A store that answers with the given texts, one a minute."""
    return Told(pl.DataFrame({"cell": range(len(texts)), "value": texts}, schema_overrides={"value": pl.String}))


class Told:
    """A store that answers every question with these rows."""

    def __init__(self, answer):
        self.answer = answer

    def sql(self, *_asked, **_limits):
        return self.answer


def test_each_text_has_a_number_of_its_own_and_none_is_zero():
    ((group, found),) = cells.values(telling(["b", "", "a", "b", ""]), SCOPE, "session")
    numbers = found().columns["value"].tolist()
    assert (group, numbers[1], numbers[4]) == ((), 0, 0)
    assert numbers[0] == numbers[3]
    assert len({*numbers}) == 3


def test_only_nothing_known_has_no_number():
    ((_, found),) = cells.values(telling(["", ""]), SCOPE, "session")
    assert found().columns["value"].tolist() == [0, 0]
    assert list(cells.values(telling([]), SCOPE, "session")) == []


def test_no_text_becomes_an_object_of_pythons():
    texts = [f"session-{number:032d}" for number in range(100_000)]
    store = telling(texts)
    del texts
    tracemalloc.start()
    try:
        ((_, found),) = cells.values(store, SCOPE, "session")
        times = found().times
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(times) == 100_000
    assert most < 6_000_000


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),
            st.one_of(st.integers(0, 40), st.integers(0, 2**36)),
            st.integers(-25, 160),
            st.sampled_from([0, 1, 1, 7, 2**31 - 1]),
            st.integers(0, 3),
        ),
        max_size=40,
    )
)
def test_counts_come_by_bucket_with_nothing_lost_however_wide_they_are(rows):
    schema = {"session": pl.String, "cell": pl.Int64, "bucket": pl.Int16, "durations": pl.Int32, "ttfts": pl.Int32}
    scope = Scope(FIRST, LAST, ("session",), Grain.MINUTE)
    store = Told(pl.DataFrame(rows, schema=schema, orient="row"))
    minute = 60_000_000
    begins = int(FIRST.timestamp()) * 1_000_000

    found = {group: counts() for group, counts in cells.counts(store, scope, ["durations", "ttfts"])}

    assert sorted(found) == sorted({(session,) for session, *_ in rows})
    for (session,), counts in found.items():
        own = [row for row in rows if row[0] == session]
        assert counts.times.tolist() == [begins + cell * minute for cell in sorted({row[1] for row in own})]
        for place, name in ((3, "durations"), (4, "ttfts")):
            entries = counts.entries[name]
            buckets, times = entries.buckets.tolist(), counts.times[entries.places].tolist()
            assert buckets == sorted(buckets)
            assert summed(zip(times, buckets, entries.counts.tolist(), strict=True)) == summed(
                (begins + row[1] * minute, row[2], row[place]) for row in own
            )


def summed(rows):
    """The counts of each time and bucket, added up."""
    total = Counter()
    for time, bucket, count in rows:
        total[time, bucket] += count
    return total
