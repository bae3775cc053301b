from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.by_bucket import in_order, ranked

#: The types of groups, buckets, cells and counts as the store gives them, and as wide as they may be.
KINDS = {
    "narrow": (np.uint16, np.int16, np.int32, np.int32),
    "wide": (np.int64, np.int16, np.int64, np.int64),
}


def ends(kind):
    """Numbers from one end of a type to the other, with many near each of them and near 0."""
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    return st.one_of(st.integers(low, high), st.integers(max(low, -3), 3), st.integers(high - 3, high))


def rows(kinds):
    few = st.tuples(st.integers(1, 3), st.integers(-25, 160), st.integers(0, 40), st.integers(0, 7))
    any_at_all = st.tuples(st.integers(0, 3), *map(ends, kinds[1:3]), st.integers(0, 2**31 - 1))
    return st.one_of(st.lists(few, min_size=1, max_size=60), st.lists(any_at_all, min_size=1, max_size=20))


def total(each):
    counted = Counter()
    for *place, count in each:
        counted[tuple(place)] += count
    return counted


@pytest.mark.parametrize("kinds", KINDS.values(), ids=KINDS)
@given(data=st.data())
def test_every_groups_counts_come_by_bucket_with_nothing_lost(kinds, data):
    told = data.draw(rows(kinds))
    ordered = in_order(*(np.array(column, kind) for column, kind in zip(zip(*told, strict=True), kinds, strict=True)))
    edges = ordered.edges(range(5)).tolist()
    assert edges[0] == 0
    for group, (first, last) in enumerate(pairwise(edges)):
        own = [row[1:] for row in told if row[0] == group]
        if first == last:
            assert own == []
            continue
        buckets, cells, counts = (column.tolist() for column in ordered.rows(slice(first, last)))
        assert buckets == sorted(buckets)
        assert total(zip(buckets, cells, counts, strict=True)) == total(own)


@given(st.lists(st.one_of(st.integers(0, 50), st.integers(0, 2**40)), min_size=1, max_size=40))
def test_cells_are_ranked_by_which_of_the_different_ones_they_are(cells):
    different, places = ranked(np.array(cells))
    assert different.tolist() == sorted(set(cells))
    assert different[places].tolist() == cells
