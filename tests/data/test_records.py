import subprocess
import sys
from decimal import Decimal

import pyarrow as pa
import pytest

from data.model import LedgerRecord
from data.records import SCHEMA, record_table
from data.schema import requests
from tests.data.ledger import record

ARROW_TYPES = {
    "VARCHAR": pa.string(),
    "SMALLINT": pa.int16(),
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "DATETIME": pa.timestamp("us"),
    "NUMERIC(18, 9)": pa.decimal128(18, 9),
    "DOUBLE": pa.float64(),
}


def test_a_record_has_a_column_for_each_field_in_order():
    assert list(LedgerRecord.__struct_fields__) == requests.columns.keys() == SCHEMA.names


def test_what_travels_is_what_the_table_takes():
    declared = [pa.field(c.name, ARROW_TYPES[str(c.type)], nullable=bool(c.nullable)) for c in requests.columns]
    assert pa.schema(declared) == SCHEMA


def test_no_records_are_no_rows():
    assert record_table([]).num_rows == 0
    assert record_table([]).schema == SCHEMA


@pytest.mark.parametrize("count", [1, 99, 100, 101, 250])
def test_records_stay_in_their_order(count):
    table = record_table([record(number) for number in range(count)])
    assert table["id"].to_pylist() == [f"id-{number}" for number in range(count)]


def test_money_is_rounded_to_the_nanodollar():
    rows = record_table([record(1, cost_usd=Decimal("0.12345678949"))])
    assert rows["cost_usd"].to_pylist() == [Decimal("0.123456789")]


def test_whoever_only_hands_records_in_needs_no_library_for_questions():
    code = "import sys, data.connection, data.records; print({'polars', 'sqlalchemy', 'duckdb'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"


def test_the_store_program_has_no_pandas_when_it_begins_to_do_without():
    code = "import sys, data.__main__; print({'pandas'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"
