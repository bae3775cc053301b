"""Many rows in one statement: they travel as one JSON parameter and are unpacked by the database.

A thousand rows cost about as much as one this way; a thousand statements would not.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Table

from data.dialect import DIALECT
from data.store import Statement

Row = Mapping[str, Any]
#: Before the name of a column: the value that the stored row must still have.
COMPARED = "was_"


def inserting(
    table: Table, rows: Sequence[Row], *, guard: str = "", conflict: str = "", exact: bool = True
) -> Statement:
    """Insert `rows`, which all have the same columns; `exact`: fail unless every one of them is inserted.

    `guard` is SQL after `FROM` that can leave rows (`u`) out; `conflict` an ON CONFLICT clause.
    """
    names = list(rows[0])
    columns = ", ".join(f'"{name}"' for name in names)
    chosen = ", ".join(f'u."{name}"' for name in names)
    text = f'INSERT INTO "{table.name}" ({columns}) SELECT {chosen} FROM {unpacked(table, names)} u {guard} {conflict}'
    return Statement(text, (packed(rows),), expect=len(rows) if exact else None)


def updating(table: Table, rows: Sequence[Row], *, by: Sequence[str], exact: bool = True) -> Statement:
    """Set each row's columns where the columns `by` are equal and every `was_NAME` still is the column's value."""
    names = list(rows[0])
    sets = ", ".join(f'"{n}" = u."{n}"' for n in names if n not in by and not n.startswith(COMPARED))
    text = f'UPDATE "{table.name}" SET {sets} FROM {unpacked(table, names)} u WHERE {_same(table, names, by)}'
    return Statement(text, (packed(rows),), expect=len(rows) if exact else None)


def deleting(table: Table, rows: Sequence[Row], *, by: Sequence[str], exact: bool = True) -> Statement:
    """Delete the rows where the columns `by` are equal and every `was_NAME` still is the column's value."""
    names = list(rows[0])
    text = f'DELETE FROM "{table.name}" USING {unpacked(table, names)} u WHERE {_same(table, names, by)}'
    return Statement(text, (packed(rows),), expect=len(rows) if exact else None)


def _same(table: Table, names: Sequence[str], by: Sequence[str]) -> str:
    keys = [f'"{table.name}"."{name}" = u."{name}"' for name in by]
    compared = [name for name in names if name.startswith(COMPARED)]
    kept = [f'"{table.name}"."{name.removeprefix(COMPARED)}" IS NOT DISTINCT FROM u."{name}"' for name in compared]
    return " AND ".join(keys + kept)


def unpacked(table: Table, names: Sequence[str]) -> str:
    """A relation with the columns `names` of `table`, made of one parameter: what `packed` gives."""
    types = {name: [table.c[name.removeprefix(COMPARED)].type.compile(dialect=DIALECT)] for name in names}
    columns = ", ".join(f'unnest(lists."{name}") AS "{name}"' for name in names)
    return f"(SELECT {columns} FROM (SELECT from_json(?, '{orjson.dumps(types).decode()}') AS lists))"


def packed(rows: Sequence[Row]) -> str:
    """The rows, which all have the same columns, as the parameter of `unpacked`: a list a column.

    So the names go once. Money goes as text, times go as naive UTC.
    """
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return orjson.dumps(columns, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{value!r} cannot be packed")


@lru_cache(maxsize=1024)
def _time(at: datetime) -> str:
    """Naive UTC; of many rows, most have the same few times."""
    return (at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at).isoformat()
