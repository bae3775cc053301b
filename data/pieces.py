"""How a stretch of time is read: whole hours and minutes from the rollups, the rest from `requests`.

The pieces of [start, end) are disjoint and cover it, so sums over them are exact at any edge. A question that the
rollups cannot answer (a tag, a session) is read from `requests` whole.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from data.buckets import bucket_sql
from data.dimensions import dimension
from data.latency import bucket_sql as latency_bucket_sql
from data.measures import MEASURE_SQL
from data.periods import HOUR, MINUTE, Grain, Offset, offsets
from data.protocol import naive_utc

_LATENCIES = {"duration_ms": "durations", "ttft_ms": "ttfts"}
_NOT_TEXT = ("stream", "status")
_SECOND = timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Level(StrEnum):
    """What a piece is read from; the value is the end of the rollups' names."""

    HOUR = "hour"
    MINUTE = "minute"
    ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Piece:
    """[start, end), read from one level."""

    level: Level
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Scope:
    """What is read: a time, the dimensions kept, the time buckets, and the values let through."""

    start: datetime
    end: datetime
    by: tuple[str, ...] = ()
    grain: Grain | None = None
    tz: str = "UTC"
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    moments: bool = False  # instead of a grain: every moment at which a request ended is a bucket

    @property
    def timed(self) -> bool:
        """Whether what is read has a column `time`."""
        return self.moments or self.grain is not None

    @property
    def finest(self) -> Level:
        """The coarsest level that can serve its dimensions and its buckets."""
        names = (*self.by, *self.where)
        if self.moments or not all(dimension(name).in_rollups for name in names):
            return Level.ROWS
        return _level(self)


@dataclass(slots=True)
class Sql:
    """SQL text and its parameters, in order."""

    text: str
    params: list[object] = field(default_factory=list)


def cut(start: datetime, end: datetime, level: Level) -> list[Piece]:
    """[start, end) cut at whole hours and minutes, as far as `level` allows; oldest first."""
    if level is Level.ROWS:
        return [Piece(Level.ROWS, start, end)] if start < end else []
    width, below = (HOUR, Level.MINUTE) if level is Level.HOUR else (MINUTE, Level.ROWS)
    first, last = ceiling(start, width), floor(end, width)
    if first >= last:
        return cut(start, end, below)
    return [*cut(start, first, below), Piece(level, first, last), *cut(last, end, below)]


def floor(at: datetime, width: timedelta) -> datetime:
    """The last multiple of `width` at or before `at`, counted in UTC."""
    return at - (at - _EPOCH) % width


def ceiling(at: datetime, width: timedelta) -> datetime:
    """The first multiple of `width` at or after `at`, counted in UTC."""
    return at + (_EPOCH - at) % width


def _level(scope: Scope) -> Level:
    """Buckets must begin where the level's rows do."""
    fixed = scope.grain.fixed if scope.grain else None
    width = HOUR if fixed is None else min(fixed, HOUR)
    width = width if width == HOUR else MINUTE
    if scope.grain is not None:
        for offset in offsets(scope.tz, scope.start, scope.end):
            width = _fitting(offset, width)
    return {HOUR: Level.HOUR, MINUTE: Level.MINUTE}.get(width, Level.ROWS)


def _fitting(offset: Offset, width: timedelta) -> timedelta:
    for fitting in (HOUR, MINUTE):
        if fitting <= width and not offset.ahead % fitting:
            return fitting
    return _SECOND


def usage(scope: Scope, measures: Sequence[str], *, raw: bool = False) -> Iterator[Sql]:
    """One SELECT a piece: [time], the dimensions, the measures summed. Rows of one bucket may be several.

    `raw`: the rollups' rows as they are, for whoever adds them up.
    """
    for piece in cut(scope.start, scope.end, scope.finest):
        rows = piece.level is Level.ROWS
        if raw and not rows:
            yield _rows([*_kept(scope, piece), *measures], f"usage_{piece.level}", scope, piece)
            continue
        kept = [*_kept(scope, piece), *(_measure(name, rows=rows) for name in measures)]
        yield _select(kept, "requests" if rows else f"usage_{piece.level}", scope, piece)


def latency(scope: Scope, counted: Sequence[str], *, raw: bool = False) -> Iterator[Sql]:
    """One SELECT or two a piece: [time], the dimensions, bucket, and what is `counted`: durations, ttfts or both.

    Rows of one bucket may be several. Every request has a row, also where only `ttfts` are counted: a group whose
    requests have no first token is a group all the same. `raw`: the rollups' rows as they are.
    """
    # every request has a duration: where these alone are counted, rows without one add nothing
    needed = ["durations > 0"] if list(counted) == ["durations"] else []
    for piece in cut(scope.start, scope.end, scope.finest):
        kept = _kept(scope, piece)
        if piece.level is not Level.ROWS:
            sums = counted if raw else [f"sum({name}) AS {name}" for name in counted]
            select = _rows if raw else _select
            yield select([*kept, "bucket", *sums], f"latency_{piece.level}", scope, piece, needed)
            continue
        for measured, own in _LATENCIES.items():
            if own == "durations" or own in counted:
                counts = [f"{'count(*)' if name == own else '0'} AS {name}" for name in counted]
                bucket = f"{latency_bucket_sql(measured)} AS bucket"
                yield _select([*kept, bucket, *counts], "requests", scope, piece, [f"{measured} IS NOT NULL"])


def values(scope: Scope, name: str) -> Iterator[Sql]:
    """One SELECT a piece: [time], the dimensions, `value`: each value of the dimension `name`, '' too."""
    level = scope.finest if dimension(name).in_rollups else Level.ROWS
    for piece in cut(scope.start, scope.end, level):
        table = "requests" if piece.level is Level.ROWS else f"usage_{piece.level}"
        kept = [*_kept(scope, piece), f"{column(name)} AS value"]
        yield _select(kept, table, scope, piece)


def last_ended(scope: Scope) -> Iterator[Sql]:
    """One SELECT: [time], the dimensions, `last`: when the last request ended."""
    piece = Piece(Level.ROWS, scope.start, scope.end)
    yield _select([*_kept(scope, piece), "max(ended_at) AS last"], "requests", scope, piece)


def union(selects: Iterable[Sql]) -> Sql:
    """Their rows together."""
    parts = list(selects)
    return Sql(" UNION ALL ".join(part.text for part in parts), [value for part in parts for value in part.params])


def column(name: str) -> str:
    """A dimension as an SQL expression over `requests` or a rollup."""
    found = dimension(name)
    if not found.tag:
        return f'"{name}"'
    pointer = found.tag.replace("~", "~0").replace("/", "~1").replace("'", "''")
    return f"coalesce(json_extract_string(nullif(tags, ''), '/{pointer}'), '')"


def quoted(name: str) -> str:
    """A dimension's name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _measure(name: str, *, rows: bool) -> str:
    return f"{MEASURE_SQL.get(name, f'sum({name})') if rows else f'sum({name})'} AS {name}"


def _kept(scope: Scope, piece: Piece) -> list[str]:
    ended = "ended_at" if piece.level is Level.ROWS else '"time"'
    kept = [f"{column(name)} AS {quoted(name)}" for name in scope.by]
    if scope.moments:
        return [f'{ended} AS "time"', *kept]
    if scope.grain is None:
        return kept
    if scope.grain.value == piece.level.value:
        return ['"time"', *kept]  # the rollup's rows are such buckets
    return [f'{bucket_sql(ended, scope.grain, scope.tz, scope.start, scope.end)} AS "time"', *kept]


def _select(kept: Sequence[str], table: str, scope: Scope, piece: Piece, extra: Sequence[str] = ()) -> Sql:
    rows = _rows(kept, table, scope, piece, extra)
    return Sql(f"{rows.text} GROUP BY ALL", rows.params)


def _rows(kept: Sequence[str], table: str, scope: Scope, piece: Piece, extra: Sequence[str] = ()) -> Sql:
    ended = "ended_at" if piece.level is Level.ROWS else '"time"'
    conditions = [f"{ended} >= ?", f"{ended} < ?"]
    bound: list[object] = [naive_utc(piece.start), naive_utc(piece.end)]
    among = [condition(name, wanted) for name, wanted in scope.where.items()]
    where = " AND ".join([*conditions, *(part.text for part in among), *extra])
    bound += [value for part in among for value in part.params]
    return Sql(f"SELECT {', '.join(kept)} FROM {table} WHERE {where}", bound)


def condition(name: str, wanted: Sequence[str]) -> Sql:
    """That a dimension has one of these values (as text), over `requests` or a rollup."""
    values = _native(name, wanted)
    if not values:
        return Sql("false")
    listed = ", ".join("?" * len(values))
    if len(values) > 1 and dimension(name).in_rollups and name not in _NOT_TEXT:
        # looked up once for each text that a column's pages tell, where IN joins row by row: three times as fast
        return Sql(f"list_contains([{listed}], {column(name)})", values)
    return Sql(f"{column(name)} IN ({listed})", values)


def _native(name: str, wanted: Sequence[str]) -> list[object]:
    """The values as the column has them; what cannot be one of its values matches nothing and is left out."""
    if name == "stream":
        return [value == "true" for value in wanted if value in {"true", "false"}]
    if name == "status":
        # as `CAST(status AS VARCHAR)` writes it; a SMALLINT has five digits at most
        return [int(v) for v in wanted if v.isascii() and v.isdigit() and str(int(v[:6])) == v and int(v) < 32768]
    return list(wanted)
