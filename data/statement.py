"""What is asked of the store, and how it is written down: SQLAlchemy or text, always with bound parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.sql import ClauseElement

from data.dialect import DIALECT

Params = Mapping[str, object] | Sequence[object]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a transaction.

    `params`: for SQLAlchemy the values of its named parameters, for text one value a `?`.
    `expect`: how many rows it must affect, None for any number.
    """

    sql: Executable | str
    params: Params = ()
    expect: int | None = None


def compiled(sql: Executable | str, params: Params = ()) -> tuple[str, list[Any]]:
    """A statement as DuckDB's SQL with `?`, and the value of each."""
    if isinstance(sql, str):
        return sql, list(params.values() if isinstance(params, Mapping) else params)
    if not isinstance(sql, ClauseElement):
        raise TypeError(f"{sql!r} is not a statement that can be compiled")
    named = dict(params) if isinstance(params, Mapping) else {}
    text = sql.compile(dialect=DIALECT, column_keys=list(named) or None, compile_kwargs={"render_postcompile": True})
    values = text.construct_params(named) or {}
    return str(text), [values[name] for name in getattr(text, "positiontup", None) or ()]
