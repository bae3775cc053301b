"""Ledger records as they travel from a spool: MessagePack, undecoded, so that a proxy need not make columns of them."""

import logging
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa

from data.errors import QueryRejected
from data.model import CostStatus, LedgerRecord
from data.records import record_table

#: One record a row.
ENCODED: Final = pa.schema([pa.field("record", pa.binary(), nullable=False)])
_BAD_VALUES: Final = (ValueError, TypeError, ArithmeticError)
#: What stays of a record that cannot be a row.
_KEPT: Final = (
    "id",
    "request_id",
    "source",
    "key",
    "user",
    "team",
    "project",
    "session",
    "agent",
    "protocol",
    "endpoint",
    "provider",
    "model_requested",
    "model",
    "stream",
    "outcome",
    "started_at",
    "ended_at",
)
_log = logging.getLogger(__name__)


def _as_text(field: msgspec.structs.FieldInfo) -> tuple[str, Any, Any]:
    """A name of an enumeration is text here: a proxy that is newer than its store may know more of them."""
    kind = str if isinstance(field.type, type) and issubclass(field.type, str) else field.type
    if field.default_factory is not msgspec.NODEFAULT:
        return field.name, kind, msgspec.field(default_factory=field.default_factory)
    return field.name, kind, field.default


_Row = msgspec.defstruct("_Row", [_as_text(field) for field in msgspec.structs.fields(LedgerRecord)], kw_only=True)
_decode = msgspec.msgpack.Decoder(_Row).decode


def encoded_table(records: Sequence[bytes]) -> pa.Table:
    """Encoded `LedgerRecord`s as what a store's `put` takes."""
    return pa.Table.from_arrays([pa.array(records, pa.binary())], schema=ENCODED)


def decoded_table(encoded: pa.Table) -> pa.Table:
    """Return the rows of `requests` that an `encoded_table` is, in its order.

    One that cannot be a row goes without the values that may be at fault. Raises `QueryRejected` for what is no record.
    """
    try:
        records = [_decode(record) for record in encoded.column("record").to_pylist()]
    except (msgspec.DecodeError, ValueError) as error:
        raise QueryRejected(f"a record cannot be read: {error}") from error
    try:
        return record_table(records)
    except _BAD_VALUES:
        return record_table([_fit(record) for record in records])


def _fit(record: Any) -> Any:
    try:
        record_table([record])
    except _BAD_VALUES:
        _log.exception("record %s does not fit the ledger and is stored without its counts", record.id)
        return _bare(record)
    return record


def _bare(record: Any) -> Any:
    """Who asked what and how it ended, without the counts and the cost; the note says so."""
    return _Row(
        **{name: getattr(record, name) for name in _KEPT},
        cost_status=CostStatus.UNPRICED.value,
        cost_note="values of this record did not fit the ledger and were left out",
    )
