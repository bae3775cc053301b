"""Latency as counts in logarithmic buckets, which add up over any time and any dimension.

Bucket b holds [1.1^b, 1.1^(b+1)) milliseconds, from 0.1 ms to one hour; what lies outside counts at the edge.
A quantile read from the buckets is the geometric middle of the bucket it falls into: at most 5 % off
(the square root of 1.1 is 1.0488).
"""

import math

GAMMA = 1.1
SHORTEST_MS = 0.1
LONGEST_MS = 3_600_000.0
_LN_GAMMA = math.log(GAMMA)


def bucket_of(ms: float) -> int:
    """The bucket that counts a latency of `ms` milliseconds."""
    return math.floor(math.log(min(max(ms, SHORTEST_MS), LONGEST_MS)) / _LN_GAMMA)


def middle_ms(bucket: int) -> float:
    """The geometric middle of a bucket, milliseconds."""
    return float(GAMMA ** (bucket + 0.5))


def bucket_sql(expression: str) -> str:
    """`bucket_of` as DuckDB SQL over a DOUBLE expression; NULL stays NULL."""
    clamped = f"greatest(least({expression}, {LONGEST_MS}::DOUBLE), {SHORTEST_MS}::DOUBLE)"
    return f"CASE WHEN {expression} IS NOT NULL THEN CAST(floor(ln({clamped}) / {_LN_GAMMA!r}::DOUBLE) AS SMALLINT) END"
