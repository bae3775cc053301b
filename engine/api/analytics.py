"""/api/analytics/{timeseries,aggregate}: any metric, broken down and filtered by any dimension."""

import asyncio
from typing import Any

from aiohttp import web

from data import query
from data.dimensions import CREDENTIAL, LIMIT
from data.metrics import DIMENSIONS, LIMIT_METRICS, METRICS
from data.query import Grain, Question
from engine.api import questions
from engine.api.parameters import breakdown, filtered, number
from engine.api.problems import BadRequest
from engine.api.reading import answer, listed, span
from engine.api.routes import ANY_FILTER, DESK, Route


async def aggregate(request: web.Request) -> web.Response:
    """One row a value of the breakdown."""
    question = _question(request, None)
    rows = await asyncio.to_thread(_rows, request, question)
    return answer({"from": question.start, "to": question.end, "rows": rows})


async def timeseries(request: web.Request) -> web.Response:
    """One row a bucket and value of the breakdown; buckets without requests too."""
    start, end = span(request, "24h")
    grain = questions.grain(request, start, end)
    question = _question(request, grain)
    rows = await asyncio.to_thread(_rows, request, question)
    return answer({"from": question.start, "to": question.end, "grain": grain, "rows": rows})


async def metrics(_: web.Request) -> web.Response:
    """Every metric with its unit and definition, and every dimension of requests."""
    measured = [
        {"name": m.name, "label": m.label, "unit": m.unit, "definition": m.definition, "better": m.better}
        for m in (*METRICS, *LIMIT_METRICS)
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
        where=questions.where(request),
        tz=request.query.get("tz", "UTC"),
        order_by=request.query.get("order_by"),
        limit=questions.limit(request),
    )
    query.check(question)
    return question


_ROWS = {"type": "object", "required": ["from", "to", "rows"], "properties": {"rows": {"type": "array"}}}
_PARAMETERS = (
    "metrics",
    breakdown(f"; {CREDENTIAL.name} and {LIMIT.name} go with metrics of providers' limits alone", CREDENTIAL, LIMIT),
    "from",
    "to",
    "range",
    ANY_FILTER,
    filtered(CREDENTIAL),
    filtered(LIMIT),
    "tz",
    "order_by",
    number("limit", "How many values of the breakdown", 100_000),
)
ROUTES = (
    Route("GET", "/api/analytics/aggregate", aggregate, "Metrics by breakdown", query=_PARAMETERS, result=_ROWS),
    Route(
        "GET", "/api/analytics/timeseries", timeseries, "Metrics over time", query=(*_PARAMETERS, "grain"), result=_ROWS
    ),
    Route("GET", "/api/analytics/metrics", metrics, "Every metric, and every dimension of requests"),
)
