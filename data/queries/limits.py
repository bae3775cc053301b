"""Readings of providers' limits into the store, for programs that have no SQLAlchemy.

At most one a limit, minute and proxy: whatever is written again, a minute keeps its fullest reading.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from data.protocol import Change, naive_utc, wire


class LimitRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `data.schema.provider_limits`; times are aware UTC."""

    proxy: str
    provider: str
    credential: str
    limit: str
    minute: datetime
    at: datetime
    used_percent: float
    remaining: float
    most: float
    reset_at: datetime | None = None


_KEY = ("proxy", "provider", "credential", "limit", "minute")
_FIELDS = LimitRow.__struct_fields__
_SETS = ", ".join(f'"{name}" = excluded."{name}"' for name in _FIELDS if name not in _KEY)
_COLUMNS, _KEY_COLUMNS = (", ".join(f'"{name}"' for name in names) for names in (_FIELDS, _KEY))
_PLACES = f"({', '.join('?' for _ in _FIELDS)})"


def keeping(rows: Sequence[LimitRow]) -> Change:
    """Write readings, of which several may be of one minute."""
    fullest: dict[tuple[object, ...], LimitRow] = {}
    for row in rows:
        key = tuple(getattr(row, name) for name in _KEY)
        if key not in fullest or row.used_percent > fullest[key].used_percent:
            fullest[key] = row
    values = [_stored(getattr(row, name)) for row in fullest.values() for name in _FIELDS]
    sql = (
        f"INSERT INTO provider_limits ({_COLUMNS}) VALUES {', '.join([_PLACES] * len(fullest))} "
        f"ON CONFLICT ({_KEY_COLUMNS}) DO UPDATE SET {_SETS} "
        "WHERE excluded.used_percent > provider_limits.used_percent"
    )
    return Change(sql, wire(values))


def _stored(value: object) -> object:
    return naive_utc(value) if isinstance(value, datetime) else value
