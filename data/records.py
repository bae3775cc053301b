"""Ledger records as Arrow: what travels to the store. Needs neither the database nor its table definitions."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

import msgspec
import pyarrow as pa

from data.model import LedgerRecord

_ARROW_TYPES: dict[type, pa.DataType] = {
    str: pa.string(),
    bool: pa.bool_(),  # before int, which it is a kind of
    int: pa.int64(),
    float: pa.float64(),
    Decimal: pa.decimal128(18, 9),
    dict: pa.string(),  # as JSON
}
#: Fields whose column is narrower than their Python type says.
_NARROWER: dict[str, pa.DataType] = {
    "attempt": pa.int16(),
    "status": pa.int16(),
    "started_at": pa.timestamp("us"),
    "ended_at": pa.timestamp("us"),
}
#: Rows that are made in one go: a thread that makes them holds up the others no longer than these take.
_SLICE = 100
_NANODOLLAR = Decimal("0.000000001")
_as_tuple = msgspec.structs.astuple
_to_json = msgspec.json.encode


def record_table(records: Sequence[msgspec.Struct]) -> pa.Table:
    """`LedgerRecord`s, or structs with the same fields, as rows of `requests`, in their order.

    Money is rounded to the nanodollar; tags become JSON text; text that is not valid Unicode is repaired.
    """
    slices = [_batch(records[begin : begin + _SLICE]) for begin in range(0, len(records), _SLICE)]
    return pa.Table.from_batches(slices, schema=SCHEMA).combine_chunks()


def _batch(records: Sequence[msgspec.Struct]) -> pa.RecordBatch:
    columns = zip(*map(_as_tuple, records), strict=True)
    arrays = [make(values) for make, values in zip(_MAKERS, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _money(values: Sequence[Decimal | None]) -> pa.Array:
    rounded = [None if value is None else value.quantize(_NANODOLLAR) for value in values]
    return pa.array(rounded, pa.decimal128(18, 9))


def _tags(values: Sequence[dict[str, str]]) -> pa.Array:
    return _text([_to_json(value).decode() if value else "{}" for value in values])


def _text(values: Sequence[str]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:  # half a surrogate pair, as JSON may carry it
        return pa.array([value.encode("utf-8", "replace").decode() for value in values], pa.string())


_SPECIAL: dict[str, Callable[[Sequence[Any]], pa.Array]] = {
    "cost_usd": _money,
    "liability_usd": _money,
    "tags": _tags,
}


def _maker(field: pa.Field) -> Callable[[Sequence[Any]], pa.Array]:
    if make := _SPECIAL.get(field.name):
        return make
    return _text if field.type == pa.string() else partial(pa.array, type=field.type)


def _field(field: msgspec.structs.FieldInfo) -> pa.Field:
    kinds = get_args(field.type) if isinstance(field.type, UnionType) else (field.type,)
    python = get_origin(kinds[0]) or kinds[0]
    arrow = next(arrow for kind, arrow in _ARROW_TYPES.items() if issubclass(python, kind))
    return pa.field(field.name, _NARROWER.get(field.name, arrow), nullable=NoneType in kinds)


#: `requests` as Arrow: its columns in order, which are the record's fields (a test holds `data/schema.py` to it).
SCHEMA: pa.Schema = pa.schema([_field(field) for field in msgspec.structs.fields(LedgerRecord)])
_MAKERS = [_maker(field) for field in SCHEMA]
