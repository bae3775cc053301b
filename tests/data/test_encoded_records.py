"""Records as they come from a spool become the same rows as records that were never encoded."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from data.encoded_records import decoded_table, encoded_table
from data.errors import QueryRejected
from data.model import LedgerRecord
from data.records import record_table
from tests.data.ledger import record

pack = msgspec.msgpack.encode


def rows(*records: LedgerRecord) -> Any:
    return decoded_table(encoded_table([pack(each) for each in records]))


def test_the_rows_are_those_of_the_records():
    records = [record(number, tags={"n": str(number)}, cost_usd=Decimal(number)) for number in range(250)]
    records += [record(250, cost_usd=None, ttft_ms=1.5, stream=True)]
    assert rows(*records) == record_table(records)


def test_no_records_are_no_rows():
    assert rows() == record_table([])


def test_a_record_that_fits_no_row_goes_without_its_counts():
    odd = record(1, output_tokens=2**62, cost_usd=Decimal(10) ** 30, status=99_999, user="ann")
    table = rows(record(0), odd, record(2))
    assert table["id"].to_pylist() == ["id-0", "id-1", "id-2"]
    assert table["user"].to_pylist()[1] == "ann"
    assert table["cost_usd"].to_pylist()[1] is None
    assert table["output_tokens"].to_pylist() == [record(0).output_tokens, 0, record(2).output_tokens]
    assert "left out" in table["cost_note"].to_pylist()[1]
    assert table["cost_status"].to_pylist()[1] == "unpriced"


def test_names_that_only_a_newer_proxy_knows_are_stored():
    known = msgspec.msgpack.decode(pack(record(1)))
    newer = pack({**known, "outcome": "evaporated", "protocol": "morse", "colour": "red"})
    (row,) = decoded_table(encoded_table([newer])).to_pylist()
    assert (row["outcome"], row["protocol"], row["id"]) == ("evaporated", "morse", "id-1")


@pytest.mark.parametrize("bad", [b"", b"\xc1", pack({"id": "x"}), pack({"id": 5})])
def test_what_is_no_record_is_refused(bad: bytes):
    with pytest.raises(QueryRejected, match="a record cannot be read"):
        decoded_table(encoded_table([pack(record(1)), bad]))
