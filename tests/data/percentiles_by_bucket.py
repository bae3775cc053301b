"""The percentile of every window the plain way, a bucket after the other: what `data.percentiles` is held against."""

import numpy as np

from data.sliding import Flags, Held, Ints, sums


def percentile(buckets: Ints, counts: Ints, holds: Held, percent: int) -> tuple[Ints, Flags]:
    """As `data.percentiles.percentile`: the first bucket at which the running count reaches the percentage."""
    total = np.zeros(len(holds.last), dtype=np.int64)
    found, so_far = total.copy(), total.copy()
    lines = [(bucket, sums(np.where(buckets == bucket, counts, 0), holds)) for bucket in np.unique(buckets).tolist()]
    for _, line in lines:
        total += line
    pending = total > 0
    for bucket, line in lines:
        so_far += line
        here = pending & (so_far * 100 >= total * percent)
        found[here] = bucket
        pending &= ~here
    return found, total > 0
