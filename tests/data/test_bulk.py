from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType

import orjson
import pytest

from data import bulk

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "packed"),
    [
        (NOON, "2026-03-01T12:00:00"),
        (NOON.replace(tzinfo=None), "2026-03-01T12:00:00"),
        (NOON.astimezone(timezone(timedelta(hours=5, minutes=30))), "2026-03-01T12:00:00"),
        (NOON + timedelta(microseconds=1), "2026-03-01T12:00:00.000001"),
        (Decimal("1E-9"), "0.000000001"),
        (None, None),
        (1.5, 1.5),
        ("é\x1b", "é\x1b"),
    ],
    ids=str,
)
def test_a_value_is_packed_as_the_database_reads_it(value, packed):
    assert orjson.loads(bulk.packed([MappingProxyType({"x": value})])) == {"x": [packed]}


def test_what_has_no_form_is_refused():
    with pytest.raises(TypeError, match="not JSON serializable"):
        bulk.packed([{"x": object()}])
