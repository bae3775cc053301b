"""Frames as files to take away. A cell that a spreadsheet would run as a formula is neutralised."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import polars as pl

from app.controls.span import Span

#: What spreadsheets take for the start of a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write a frame: its file name ending, media type and writer."""

    name: str
    mime: str
    write: Callable[[pl.DataFrame], bytes]


def csv(frame: pl.DataFrame) -> bytes:
    """RFC 4180, UTF-8, times as ISO 8601 with their offset; text that starts like a formula gets an apostrophe."""
    text = [neutral(name) for name, kind in frame.schema.items() if kind == pl.String]
    safe = frame.with_columns(text).rename({name: neutral_name(name) for name in frame.columns})
    return safe.write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%:z" if _zoned(frame) else None).encode()


def json_rows(frame: pl.DataFrame) -> bytes:
    """A list of objects, one a row; money as numbers, times as ISO 8601, nothing as null."""
    return json.dumps(frame.to_dicts(), default=_plain, ensure_ascii=False, indent=1).encode()


FORMATS: tuple[Format, ...] = (
    Format("csv", "text/csv", csv),
    Format("json", "application/json", json_rows),
)


def file_name(subject: str, span: Span, ending: str) -> str:
    """`cost-by-model_2026-11-17_2026-11-24_Europe-Berlin.csv`: subject, range and zone."""
    words = re.sub(r"[^a-z0-9]+", "-", subject.lower()).strip("-")
    return f"{words}_{span.slug()}.{ending}"


def localised(frame: pl.DataFrame, tz: str) -> pl.DataFrame:
    """Its zone-aware times on the clock of `tz`; they keep their offset."""
    return frame.with_columns(pl.selectors.datetime(time_zone="*").dt.convert_time_zone(tz))


def neutral(column: str) -> pl.Expr:
    """The text column with an apostrophe before cells that start like a formula."""
    starts = pl.col(column).str.slice(0, 1).is_in(FORMULA_STARTS)
    return pl.when(starts).then(pl.lit("'") + pl.col(column)).otherwise(pl.col(column)).alias(column)


def neutral_name(name: str) -> str:
    """The same for a column's name."""
    return f"'{name}" if name.startswith(FORMULA_STARTS) else name


def _zoned(frame: pl.DataFrame) -> bool:
    return any(isinstance(kind, pl.Datetime) and kind.time_zone for kind in frame.schema.values())


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)
