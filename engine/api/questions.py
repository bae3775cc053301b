"""The parameters that questions about the ledger share: filters, grain, limit."""

from datetime import datetime, timedelta

from aiohttp import web

from data.errors import UnknownMetric
from data.query import Grain
from engine.api.problems import BadRequest

_FILTER = "filter."
#: The finest grain that leaves a chart readable, by how long a time is asked about.
_GRAINS: tuple[tuple[timedelta, Grain], ...] = (
    (timedelta(hours=3), Grain.MINUTE),
    (timedelta(hours=12), Grain.FIVE_MINUTES),
    (timedelta(days=2), Grain.QUARTER),
    (timedelta(days=14), Grain.HOUR),
)
_MOST_BUCKETS = 20_000


def where(request: web.Request) -> dict[str, tuple[str, ...]]:
    """`filter.DIMENSION`, repeated or separated by commas; an empty value asks for rows where it is unknown."""
    names = dict.fromkeys(name for name in request.query if name.startswith(_FILTER))
    return {name.removeprefix(_FILTER): _values(request, name) for name in names}


def _values(request: web.Request, name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for value in request.query.getall(name) for part in value.split(",")))


def limit(request: web.Request, most: int = 100_000) -> int | None:
    """`limit`, None where there is none; raises BadRequest for what is no number from 1 to `most`."""
    text = request.query.get("limit")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise BadRequest(f"limit must be a number from 1 to {most}, not {text[:100]!r}")
    return int(text)


def grain(request: web.Request, start: datetime, end: datetime) -> Grain:
    """`grain`, or one that suits the range; raises UnknownMetric, or BadRequest for too many buckets."""
    text = request.query.get("grain")
    if not text:
        return next((fitting for longest, fitting in _GRAINS if end - start <= longest), Grain.DAY)
    if text not in tuple(Grain):
        raise UnknownMetric(f"there is no grain {text!r}; known are {', '.join(Grain)}")
    found = Grain(text)
    if found is Grain.MINUTE and (end - start) / timedelta(minutes=1) > _MOST_BUCKETS:
        raise BadRequest("too many buckets: ask for a coarser grain or a shorter range")
    return found
