"""/api/analytics/{timeseries,aggregate}: any metric, broken down and filtered by any dimension."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from data import query
from data.errors import UnknownMetric
from data.metrics import DIMENSIONS, METRICS
from data.query import Grain, Question
from engine.api.problems import BadRequest
from engine.api.reading import answer, listed, span
from engine.api.routes import ANY_FILTER, DESK, Route

_FILTER = "filter."
#: The finest grain that leaves a chart readable, by how long a time is asked about.
_GRAINS: tuple[tuple[timedelta, Grain], ...] = (
    (timedelta(hours=3), Grain.MINUTE),
    (timedelta(hours=12), Grain.FIVE_MINUTES),
    (timedelta(days=2), Grain.QUARTER),
    (timedelta(days=14), Grain.HOUR),
)
_MOST_BUCKETS = 20_000


async def aggregate(request: web.Request) -> web.Response:
    """One row a value of the breakdown."""
    question = _question(request, None)
    rows = await asyncio.to_thread(_rows, request, question)
    return answer({"from": question.start, "to": question.end, "rows": rows})


async def timeseries(request: web.Request) -> web.Response:
    """One row a bucket and value of the breakdown; buckets without requests too."""
    start, end = span(request, "24h")
    grain = _grain(request, start, end)
    question = _question(request, grain)
    rows = await asyncio.to_thread(_rows, request, question)
    return answer({"from": question.start, "to": question.end, "grain": grain, "rows": rows})


async def metrics(_: web.Request) -> web.Response:
    """Every metric with its unit and definition, and every dimension."""
    measured = [
        {"name": m.name, "label": m.label, "unit": m.unit, "definition": m.definition, "better": m.better}
        for m in METRICS
    ]
    return answer({"metrics": measured, "dimensions": [{"name": d.name, "label": d.label} for d in DIMENSIONS]})


def _rows(request: web.Request, question: Question) -> list[dict[str, Any]]:
    frame = query.answer(request.app[DESK].store, question)
    return (query.fill(frame, question) if question.grain else frame).to_dicts()


def _question(request: web.Request, grain: Grain | None) -> Question:
    """The question the parameters ask; raises BadRequest for a parameter that is not what it says."""
    start, end = span(request, "24h")
    names = listed(request, "metrics")
    if not names:
        raise BadRequest("metrics is required: one or more names separated by commas")
    question = Question(
        metrics=names,
        start=start,
        end=end,
        by=listed(request, "by"),
        grain=grain,
        where=_where(request),
        tz=request.query.get("tz", "UTC"),
        order_by=request.query.get("order_by"),
        limit=_limit(request),
    )
    query.check(question)
    return question


def _where(request: web.Request) -> dict[str, tuple[str, ...]]:
    names = dict.fromkeys(name for name in request.query if name.startswith(_FILTER))
    return {name.removeprefix(_FILTER): _values(request, name) for name in names}


def _values(request: web.Request, name: str) -> tuple[str, ...]:
    """Repeated or separated by commas; an empty one asks for rows where the dimension is unknown."""
    return tuple(dict.fromkeys(part for value in request.query.getall(name) for part in value.split(",")))


def _limit(request: web.Request) -> int | None:
    text = request.query.get("limit")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 100_000):
        raise BadRequest(f"limit must be a number from 1 to 100000, not {text!r}")
    return int(text)


def _grain(request: web.Request, start: datetime, end: datetime) -> Grain:
    text = request.query.get("grain")
    if not text:
        return next((grain for longest, grain in _GRAINS if end - start <= longest), Grain.DAY)
    if text not in tuple(Grain):
        raise UnknownMetric(f"there is no grain {text!r}; known are {', '.join(Grain)}")
    grain = Grain(text)
    if grain is Grain.MINUTE and (end - start) / timedelta(minutes=1) > _MOST_BUCKETS:
        raise BadRequest("too many buckets: ask for a coarser grain or a shorter range")
    return grain


_PARAMETERS = ("metrics", "by", "from", "to", "range", ANY_FILTER, "tz", "order_by", "limit")
ROUTES = (
    Route("GET", "/api/analytics/aggregate", aggregate, "Metrics by breakdown", query=_PARAMETERS),
    Route("GET", "/api/analytics/timeseries", timeseries, "Metrics over time", query=(*_PARAMETERS, "grain")),
    Route("GET", "/api/analytics/metrics", metrics, "Every metric and dimension there is"),
)
