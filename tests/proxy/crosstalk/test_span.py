"""The range that statistics are asked for."""

from datetime import UTC, datetime

import pytest

from proxy.api_body import BadBody
from proxy.crosstalk.span import span

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)
START = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ({}, START, NOW),
        ({"range": "7d"}, datetime(2026, 3, 1, 12, tzinfo=UTC), NOW),
        ({"range": "12h", "to": "2026-03-02"}, datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)),
        ({"from": "2026-03-01T01:00:00+01:00"}, datetime(2026, 3, 1, tzinfo=UTC), NOW),
        ({"range": "999w", "to": "1980-01-01"}, START, datetime(1980, 1, 1, tzinfo=UTC)),
    ],
)
def test_ranges(query, start, end):
    assert span(query, NOW) == (start, end)


@pytest.mark.parametrize(
    "query",
    [
        {"range": "7"},
        {"range": "7d\n"},
        {"range": "0s"},
        {"range": "٧d"},
        {"from": "yesterday"},
        {"from": "2027-01-01"},
        {"to": "0001-01-01"},
        {"from": "2026-01-01", "range": "7d"},
    ],
)
def test_what_is_no_range_is_refused(query):
    with pytest.raises(BadBody):
        span(query, NOW)
