"""/api/analytics/{timeseries,aggregate}: any metric, broken down and filtered by the dimensions that it has."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from data import query
from data.dimensions import OWN_DIMENSIONS
from data.metrics import DIMENSIONS, RULE_METRICS, Dimension, Metric, dimensions_of
from data.query import Grain, Question
from engine.api import parameters, questions
from engine.api.parameters import Parameter, breakdown, filtered, number
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
    """Every metric with its unit, its definition, and what it can be broken down and filtered by; every dimension."""
    return answer(
        {
            "metrics": [_listed_metric(each) for each in RULE_METRICS],
            "dimensions": [_listed_dimension(each) for each in DIMENSIONS],
            "own_dimensions": [_listed_dimension(each) for each in OWN_DIMENSIONS],
        }
    )


def _listed_metric(each: Metric) -> dict[str, Any]:
    return {
        "name": each.name,
        "label": each.label,
        "unit": each.unit,
        "definition": each.definition,
        "better": each.better,
        "dimensions": [own.name for own in dimensions_of(each)],
        "over_time": each.over_time,
    }


def _listed_dimension(each: Dimension) -> dict[str, Any]:
    return {"name": each.name, "label": each.label}


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


def _parameters(known: Sequence[Metric]) -> tuple[str | Parameter, ...]:
    """The parameters of a question about these metrics."""
    own = [each for each in OWN_DIMENSIONS if any(each.name in metric.dimensions for metric in known)]
    note = f"; {', '.join(each.name for each in own)} go only with the metrics of which the list of metrics says so"
    return (
        parameters.listed("metrics", "Which metrics", *(metric.name for metric in known)),
        breakdown(note, *own),
        "from",
        "to",
        "range",
        ANY_FILTER,
        *map(filtered, own),
        "tz",
        "order_by",
        number("limit", "How many values of the breakdown", 100_000),
    )


_STRINGS = {"type": "array", "items": {"type": "string"}}
_NAMED = {"type": "object", "required": ["name", "label"]}
_METRIC = {
    "type": "object",
    "required": ["name", "label", "unit", "definition", "better", "dimensions", "over_time"],
    "properties": {
        "better": {"enum": ["lower", "higher", None]},
        "dimensions": {**_STRINGS, "description": "What it can be broken down and filtered by; tag: any tag:NAME"},
        "over_time": {"type": "boolean", "description": "Whether a timeseries has it"},
    },
}
_LISTED = {
    "type": "object",
    "required": ["metrics", "dimensions", "own_dimensions"],
    "properties": {
        "metrics": {"type": "array", "items": _METRIC},
        "dimensions": {"type": "array", "items": _NAMED, "description": "Those of requests"},
        "own_dimensions": {"type": "array", "items": _NAMED, "description": "Those that only other metrics have"},
    },
}
ROUTES = (
    Route(
        "GET",
        "/api/analytics/aggregate",
        aggregate,
        "Metrics by breakdown",
        query=_parameters(RULE_METRICS),
        result=_ROWS,
    ),
    Route(
        "GET",
        "/api/analytics/timeseries",
        timeseries,
        "Metrics over time",
        query=(*_parameters([each for each in RULE_METRICS if each.over_time]), "grain"),
        result=_ROWS,
    ),
    Route(
        "GET",
        "/api/analytics/metrics",
        metrics,
        "Every metric, with what it can be broken down and filtered by, and every dimension",
        result=_LISTED,
    ),
)
