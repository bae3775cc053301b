import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.percentiles import percentile
from data.sliding import Held
from tests.data import percentiles_by_bucket


@st.composite
def entries(draw):
    """Buckets, counts (zeros too) and windows that slide over them, empty ones too."""
    length = draw(st.integers(0, 60))
    lowest = draw(st.integers(-25, 160))
    spread = draw(st.integers(0, 40))
    buckets = draw(st.lists(st.integers(lowest, lowest + spread), min_size=length, max_size=length))
    counts = draw(st.lists(st.sampled_from([0, 1, 1, 2, 9, 2**33]), min_size=length, max_size=length))
    edges = st.tuples(st.integers(0, length), st.integers(0, length)).map(sorted)
    windows = draw(st.lists(edges, max_size=30))
    first, last = (np.array(sorted(window[end] for window in windows), dtype=np.int64) for end in (0, 1))
    cells = draw(st.permutations(range(length)))
    return (
        np.sort(np.array(buckets, dtype=np.int16)),
        np.array(cells, np.int32),
        np.array(counts, np.int64),
        Held(first, last),
    )


@given(entries(), st.sampled_from([1, 50, 95, 99, 100]))
def test_every_window_has_the_percentile_that_counting_bucket_by_bucket_gives(given_entries, percent):
    buckets, cells, counts, holds = given_entries

    found, known = percentile(buckets, cells, counts, holds, percent)

    in_time = np.argsort(cells)
    wanted, there = percentiles_by_bucket.percentile(buckets[in_time].astype(np.int64), counts[in_time], holds, percent)
    assert known.tolist() == there.tolist()
    assert found[known].tolist() == wanted[there].tolist()


@pytest.mark.parametrize(("percent", "bucket"), [(1, -2), (25, -2), (26, 3), (75, 3), (76, 7), (100, 7)])
def test_the_rank_is_the_nearest(percent, bucket):
    buckets = np.array([-2, 3, 3, 7], dtype=np.int16)
    whole = Held(np.array([0]), np.array([2]))

    found, known = percentile(buckets, np.array([1, 0, 0, 1]), np.ones(4, dtype=np.int64), whole, percent)

    assert (found.tolist(), known.tolist()) == ([bucket], [True])
