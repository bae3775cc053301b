"""What the Overview asks: six figures against the range before, cost over time, and who spends most."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from app import context
from app.controls.pickers import automatic
from app.controls.span import Span
from app.inquiry import named
from app.views.cards import Card
from data.metrics import metric
from data.periods import Grain
from data.query import Question, fill

FIGURES = ("cost", "requests", "total_tokens", "error_rate", "latency_p95", "cache_hit_rate")
RANKED = ("model", "key", "project")
MOST_RANKED = 6


@dataclass(frozen=True, slots=True)
class Summary:
    """The Overview's frames. `course`: `time`, `model`, cost; `ranked`: dimension → it, cost, requests.

    `unpriced` requests have no known price: `cost` does not hold them.
    """

    cards: list[Card]
    course: pl.DataFrame
    ranked: Mapping[str, pl.DataFrame]
    cost: float
    requests: int
    unpriced: int
    grain: Grain


def summary(span: Span) -> Summary:
    """Ask everything at once."""
    grain = automatic(span)
    now, before = _question(span, (*FIGURES, "unpriced_requests")), _question(span.previous(), FIGURES)
    sparks = _question(span, FIGURES, grain=grain)
    models = _question(span, ("cost",), by="model", grain=grain)
    tops = [_question(span, ("cost", "requests"), by=name, limit=MOST_RANKED) for name in RANKED]
    frames = context.answer_all([now, before, sparks, models, *tops])
    totals, earlier = frames[0].row(0, named=True), frames[1].row(0, named=True)
    course = fill(frames[2], sparks)
    return Summary(
        cards=[Card(metric(name), totals[name], earlier[name], course[name].to_list()) for name in FIGURES],
        course=named(fill(frames[3], models), "model"),
        ranked={name: named(frame, name) for name, frame in zip(RANKED, frames[4:], strict=True)},
        cost=float(totals["cost"] or 0),
        requests=int(totals["requests"] or 0),
        unpriced=int(totals["unpriced_requests"] or 0),
        grain=grain,
    )


def _question(
    span: Span, metrics: tuple[str, ...], *, by: str = "", grain: Grain | None = None, limit: int | None = None
) -> Question:
    return Question(
        metrics=metrics,
        start=span.start,
        end=span.end,
        by=(by,) if by else (),
        grain=grain,
        tz=span.tz,
        order_by=metrics[0] if limit else None,
        limit=limit,
    )
