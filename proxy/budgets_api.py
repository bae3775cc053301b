"""/api/budget: how budgets stand, and how they are made, changed, raised and ended."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from data import budget_changes
from data.budget_changes import BudgetStore, Stored
from data.budgets import Budget, Grant, More, Name, Raise, ScopeKind, Text
from data.errors import BudgetFault
from proxy.api_body import BadBody, json_body, posted, with_problems
from proxy.api_route import ApiRoute
from proxy.budget.budgets import Budgets
from proxy.budget.status import MOST_GROUPS, standing
from proxy.budget.upkeep import Upkeep, now_us
from proxy.request import clean

_encoder = msgspec.json.Encoder(decimal_format="number")
_USUAL_GROUPS: Final = 100


class RaiseBody(BaseModel):
    """More money for a budget (its name or id) until a time; `from` is now where it is not said."""

    model_config = ConfigDict(extra="forbid")

    budget: Name
    amount_usd: More
    begins: AwareDatetime | None = Field(default=None, alias="from")
    until: AwareDatetime
    why: Text = ""


class GrantBody(BaseModel):
    """Prepaid money for a budget (its name or id)."""

    model_config = ConfigDict(extra="forbid")

    budget: Name
    amount_usd: More
    expires_at: AwareDatetime | None = None
    why: Text = ""


class BudgetsApi:
    """Answers by what this proxy has counted and what the store keeps. `store` gives it or raises StoreError."""

    def __init__(self, budgets: Budgets, upkeep: Upkeep, store: Callable[[], BudgetStore]) -> None:
        self._budgets = budgets
        self._upkeep = upkeep
        self._store = store

    async def status(self, request: web.Request) -> web.Response:
        """Every budget that is switched on, with what is spent, held and left in each of its groups."""
        kind = request.query.get("kind", "")
        if kind and kind not in set(ScopeKind):
            raise BadBody(400, f"kind must be one of {', '.join(ScopeKind)}.")
        items = standing(
            self._budgets,
            now_us(),
            name=request.query.get("name", ""),
            kind=kind,
            value=request.query.get("value", ""),
            limit=_number(request, "limit", MOST_GROUPS) or _USUAL_GROUPS,
        )
        return _json({"items": items, "next": None, "trouble": self._budgets.trouble})

    async def listing(self, _request: web.Request) -> web.Response:
        """Every budget's document, by name, switched off ones too."""
        found = await asyncio.to_thread(lambda: budget_changes.every(self._store()))
        return _json({"items": [_shown(stored) for stored in found], "next": None})

    async def create(self, request: web.Request) -> web.Response:
        """Add a budget; what the ledger knows of its period counts from the beginning."""
        budget = budget_changes.read(await json_body(request))
        return await self._change(budget_changes.create, request, budget, status=201)

    async def replace(self, request: web.Request) -> web.Response:
        """Change a budget; `version` is the one it was read in."""
        named, version = _named(request), _number(request, "version")
        budget = budget_changes.read(await json_body(request))
        return await self._change(budget_changes.replace, request, named, budget, version=version)

    async def remove(self, request: web.Request) -> web.Response:
        """End a budget; `version` is the one it was read in."""
        named, version = _named(request), _number(request, "version")
        return await self._change(budget_changes.remove, request, named, version=version)

    async def raise_for_a_while(self, request: web.Request) -> web.Response:
        """Give a budget more money until a time."""
        body, by = await posted(request, RaiseBody), _actor(request)
        fields = {"amount_usd": body.amount_usd, "from": body.begins or _now(), "until": body.until}
        more = _checked(Raise, {**fields, "by": by, "why": body.why})
        return await self._change(budget_changes.raise_for_a_while, request, body.budget, more)

    async def grant(self, request: web.Request) -> web.Response:
        """Give a budget prepaid money: for the period that it is in, or for good to a budget for once."""
        body, by = await posted(request, GrantBody), _actor(request)
        fields = {"amount_usd": body.amount_usd, "at": _now(), "expires_at": body.expires_at}
        more = _checked(Grant, {**fields, "by": by, "why": body.why})
        return await self._change(budget_changes.grant, request, body.budget, more)

    async def _change(
        self, change: Callable[..., Stored], request: web.Request, *what: Any, status: int = 200, **settings: Any
    ) -> web.Response:
        by = _actor(request)
        stored = await asyncio.to_thread(lambda: change(self._store(), *what, by=by, now=_now(), **settings))
        await self._upkeep.refresh()
        return _json(_shown(stored), status)


def routes(api: BudgetsApi) -> tuple[ApiRoute, ...]:
    """Return the routes of `api`."""
    configure, away = "/api/budget/configure", {503: "The store does not answer."}
    bad = {400: "What was posted is at fault; the fields are named.", 413: "It is too large.", 415: "It is not JSON."}
    missing = {404: "There is no such budget.", 409: "It was changed meanwhile, or the name is in use."}
    changed = {200: "The budget.", **bad, **missing, **away}

    def route(method: str, path: str, handler: Any, summary: str, **more: Any) -> ApiRoute:
        return ApiRoute(method, path, with_problems(handler), summary, **more)

    return (
        route(
            "GET",
            "/api/budget/status",
            api.status,
            "What is spent, held and left of each budget",
            query=("name", "kind", "value", "limit"),
            answers={200: "The budgets.", 400: "A parameter is at fault.", 503: "The counters cannot be read."},
        ),
        route("GET", configure, api.listing, "The budgets' documents", answers={200: "The documents.", **away}),
        route(
            "POST",
            configure,
            api.create,
            "Make a budget",
            body=Budget,
            answers={201: "The budget.", **bad, 409: "The name is in use.", **away},
        ),
        route(
            "PUT",
            configure,
            api.replace,
            "Change a budget",
            query=("id", "name", "version"),
            body=Budget,
            answers=changed,
        ),
        route(
            "DELETE",
            configure,
            api.remove,
            "End a budget",
            query=("id", "name", "version"),
            answers={200: "The budget that was.", 400: "A parameter is at fault.", **missing, **away},
        ),
        route(
            "POST",
            "/api/budget/raise",
            api.raise_for_a_while,
            "Raise a budget for a while",
            body=RaiseBody,
            answers=changed,
        ),
        route("POST", "/api/budget/grant", api.grant, "Give prepaid money", body=GrantBody, answers=changed),
    )


def _shown(stored: Stored) -> dict[str, Any]:
    return {
        "id": stored.id,
        "version": stored.version,
        "created_at": stored.created_at,
        "updated_at": stored.updated_at,
        "document": stored.budget.model_dump(by_alias=True),
    }


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=_encoder.encode(value), content_type="application/json")


def _checked(model: Callable[..., Any], fields: dict[str, Any]) -> Any:
    try:
        return model(**fields)
    except ValidationError as error:
        raise BudgetFault(budget_changes.told(error)) from error


def _named(request: web.Request) -> str:
    named = request.query.get("id") or request.query.get("name") or ""
    if not named:
        raise BadBody(400, "id or name must say which budget is meant.")
    return named


def _number(request: web.Request, name: str, most: int = 2**31 - 1) -> int | None:
    text = request.query.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 10 or not 0 < int(text) <= most:
        raise BadBody(400, f"{name} must be a whole number from 1 to {most}.")
    return int(text)


def _actor(request: web.Request) -> str:
    return clean(request.headers.get("X-Actor", ""), 200) or "api"


def _now() -> datetime:
    return datetime.now(UTC)
