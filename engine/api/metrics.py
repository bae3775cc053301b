"""/api/metrics/{aggregate,history,sessions,cache}: the ledger's main figures, without having to name them."""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from aiohttp import web

from data import query
from data.cache_savings import CacheUse, cache_use, total
from data.pricing import PriceBook
from data.queries.sessions import Cursor, Order, agents, sessions
from data.query import Question
from data.store import Store
from engine.api import questions
from engine.api.parameters import chosen, number
from engine.api.problems import BadRequest
from engine.api.reading import answer, listed, page, span
from engine.api.routes import ANY_FILTER, DESK, LISTING, Route

MAIN: tuple[str, ...] = (
    "requests",
    "errors",
    "error_rate",
    "rate_limited",
    "cost",
    "unpriced_requests",
    "input_tokens",
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "total_tokens",
    "cache_hit_rate",
    "tokens_per_second",
    "latency_p50",
    "latency_p95",
    "latency_p99",
    "ttft_p50",
    "ttft_p95",
)
_ORDERS = {"newest": Order.NEWEST, "dearest": Order.DEAREST}
_USUAL = "24h"
_MOST_ROWS = 1000
_cursor_decoder = msgspec.json.Decoder(tuple[str, str])


async def aggregate(request: web.Request) -> web.Response:
    """The main metrics over a range, and again for each value of the breakdown, those with most requests first."""
    whole = _question(request)
    split = replace(
        whole, by=listed(request, "by"), order_by="requests", limit=questions.limit(request, _MOST_ROWS) or 100
    )
    asked = [whole, split] if split.by else [whole]
    for question in asked:
        query.check(question)
    frames = await asyncio.to_thread(query.answers, request.app[DESK].store, asked)
    totals, *rows = [frame.to_dicts() for frame in frames]
    return answer({"from": whole.start, "to": whole.end, "totals": totals[0], "rows": rows[0] if rows else []})


async def history(request: web.Request) -> web.Response:
    """The main metrics over time, a row a bucket (and value of the breakdown); quiet buckets too."""
    asked = _question(request)
    grain = questions.grain(request, asked.start, asked.end)
    limit = questions.limit(request, _MOST_ROWS)
    question = replace(asked, by=listed(request, "by"), grain=grain, limit=limit)
    query.check(question)
    rows = await asyncio.to_thread(_over_time, request.app[DESK].store, question)
    return answer({"from": question.start, "to": question.end, "grain": grain, "rows": rows})


async def by_session(request: web.Request) -> web.Response:
    """Sessions, newest or dearest first, each with its agents."""
    start, end = span(request, "7d")
    order, (limit, cursor) = _order(request), page(request)
    asked = _Page(start, end, questions.where(request), order, limit, _read_cursor(cursor, order))
    found = await asyncio.to_thread(asked.read, request.app[DESK].store)
    following = _cursor(found[limit - 1], order) if len(found) > limit else None
    return answer({"from": start, "to": end, "items": [_shown(row) for row in found[:limit]], "next": following})


@dataclass(frozen=True, slots=True)
class _Page:
    """Which sessions are asked for."""

    start: datetime
    end: datetime
    where: Mapping[str, Sequence[str]]
    order: Order
    limit: int
    after: Cursor | None

    def read(self, store: Store) -> list[dict[str, Any]]:
        """Them with their agents, and one more than the limit where there is one, so that it is known."""
        rows = sessions(
            store, self.start, self.end, self.where, order=self.order, limit=self.limit + 1, cursor=self.after
        ).to_dicts()
        names = [row["session"] for row in rows[: self.limit]]
        parts = defaultdict[str, list[dict[str, Any]]](list)
        for part in agents(store, names, self.start, self.end, self.where).to_dicts() if names else []:
            parts[part.pop("session")].append(part)
        return [{**row, "agent_count": row["agents"], "agents": parts[row["session"]]} for row in rows]


async def cache(request: web.Request) -> web.Response:
    """How much input came from caches, by model, and what that saved."""
    start, end = span(request, _USUAL)
    desk, where = request.app[DESK], questions.where(request)
    most = questions.limit(request, _MOST_ROWS) or 100
    book = PriceBook(desk.config.prices)
    found = await asyncio.to_thread(cache_use, desk.store, book, start, end, where)
    rows = [{"model": use.model, **_use(use)} for use in found[:most]]
    return answer({"from": start, "to": end, "totals": _use(total(found)), "rows": rows})


def _question(request: web.Request) -> Question:
    start, end = span(request, _USUAL)
    return Question(MAIN, start, end, where=questions.where(request), tz=request.query.get("tz", "UTC"))


def _over_time(store: Store, question: Question) -> list[dict[str, Any]]:
    return query.fill(query.answer(store, question), question).to_dicts()


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: value for name, value in row.items() if name not in {"spent", "agents"}},
        "agents": [{name: value for name, value in part.items() if name != "spent"} for part in row["agents"]],
    }


def _use(use: CacheUse) -> dict[str, Any]:
    return {
        "requests": use.requests,
        "input_tokens": use.input_tokens,
        "uncached_input_tokens": use.uncached_input_tokens,
        "cache_read_tokens": use.cache_read_tokens,
        "cache_write_5m_tokens": use.cache_write_5m_tokens,
        "cache_write_1h_tokens": use.cache_write_1h_tokens,
        "cache_hit_rate": use.cache_hit_rate,
        "saved_usd": use.saved_usd,
        "unpriced_requests": use.unpriced_requests,
    }


def _order(request: web.Request) -> Order:
    text = request.query.get("order", "newest")
    if text not in _ORDERS:
        raise BadRequest(f"order must be one of {', '.join(_ORDERS)}, not {text[:100]!r}")
    return _ORDERS[text]


def _cursor(row: Mapping[str, Any], order: Order) -> str:
    value = row[order]
    said = (value.isoformat() if isinstance(value, datetime) else format(value, "f"), row["session"])
    return urlsafe_b64encode(msgspec.json.encode(said)).decode().rstrip("=")


def _read_cursor(text: str, order: Order) -> Cursor | None:
    """What `_cursor` wrote for the same order; raises BadRequest for anything else."""
    if not text:
        return None
    try:
        value, name = _cursor_decoder.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return _moment(value) if order is Order.NEWEST else _money(value), name
    except (ValueError, InvalidOperation, OverflowError) as error:
        raise BadRequest("cursor is not one that an answer in this order gave") from error


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _money(text: str) -> Decimal:
    value = Decimal(text)
    if not value.is_finite() or abs(value) > 10**15:
        raise ValueError(text)
    return value


def _result(*names: str) -> dict[str, Any]:
    return {"type": "object", "required": [*names]}


_ROWS = number("limit", "How many values of the breakdown", _MOST_ROWS)
_RANGE = ("from", "to", "range", ANY_FILTER)
_TABLE = _result("from", "to", "totals", "rows")
ROUTES = (
    Route(
        "GET",
        "/api/metrics/aggregate",
        aggregate,
        "The main metrics and a breakdown",
        query=(*_RANGE, "by", "tz", _ROWS),
        result=_TABLE,
    ),
    Route(
        "GET",
        "/api/metrics/history",
        history,
        "The main metrics over time",
        query=(*_RANGE, "by", "tz", _ROWS, "grain"),
        result=_result("from", "to", "grain", "rows"),
    ),
    Route(
        "GET",
        "/api/metrics/sessions",
        by_session,
        "Sessions with their agents",
        query=(*_RANGE, chosen("order", "Which come first", *_ORDERS), "limit", "cursor"),
        result={**LISTING, "required": ["from", "to", "items", "next"]},
    ),
    Route(
        "GET",
        "/api/metrics/cache",
        cache,
        "How caches were used, and what they saved",
        query=(*_RANGE, _ROWS),
        result=_TABLE,
    ),
)
