"""The last resort for a record that cannot be encoded: the same record without what stands in the way."""

from typing import Any, TypeVar

import msgspec

R = TypeVar("R", bound=msgspec.Struct)
_LARGEST = 2**63 - 1


def storable(record: R) -> R:
    """The record with valid UTF-8, integers of 64 bits and tags of text: a row with faults beats a lost one."""
    changes: dict[str, Any] = {name: _storable(getattr(record, name)) for name in record.__struct_fields__}
    return msgspec.structs.replace(record, **changes)


def _storable(value: Any) -> Any:
    # names of enumerations are valid text: only plain text may hold surrogates
    if type(value) is str:
        return value.encode("utf-8", "replace").decode()
    if type(value) is int:
        return min(max(value, -_LARGEST), _LARGEST)
    if isinstance(value, dict):
        return {_storable(str(name)): _storable(str(item)) for name, item in value.items()}
    return value
