"""/api/notifications/channels."""

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from data.store import Store
from engine import channel_store, sample, trial
from engine.api import parameters
from engine.api.paging import Place, a_page_by
from engine.api.reading import actor, among, answer, body, expected_time, flag, moment, posted
from engine.api.routes import DESK, LISTING, Route
from engine.audit import clock
from engine.breaker import Phase
from engine.channel_form import ChannelDocument
from engine.channel_store import Channel
from engine.channels import CHANNELS, ChannelKind
from engine.notice import Notice
from engine.rules import watched_by_id
from engine.standing import Standing, standings


class TrialBody(BaseModel):
    """The rule whose message is sent; without one a plain test message."""

    model_config = ConfigDict(extra="forbid")

    rule_id: str = ""


async def listing(request: web.Request) -> web.Response:
    """Channels by name, secrets masked, with how each stands with its receiver, a page at a time."""
    store, wanted = request.app[DESK].store, _filter(request)

    def found(after: Place | None, limit: int) -> list[dict[str, Any]]:
        name, known = after[0] if after else "", standings(store, clock())
        later = (_shown(each, known[each.name]) for each in channel_store.every(store) if each.name > name)
        return list(islice(filter(wanted, later), limit))

    return answer(await a_page_by(request, found, lambda channel: (channel["name"],), 1))


def _filter(request: web.Request) -> Callable[[dict[str, Any]], bool]:
    """Whether a channel, as it is shown, is asked for."""
    kinds, phases = among(request, "kind", tuple(CHANNELS)), among(request, "breaker", tuple(Phase))
    flags = {name: flag(request, name) for name in ("enabled", "auto_disabled")}

    def wanted(shown: dict[str, Any]) -> bool:
        fits = all(value in {None, shown[name]} for name, value in flags.items())
        return fits and shown["kind"] in (kinds or CHANNELS) and shown["breaker"].state in (phases or Phase)

    return wanted


async def kinds(_: web.Request) -> web.Response:
    """The kinds of channel and the form of each (JSON Schema)."""
    items = [
        {
            "kind": kind.name,
            "label": kind.label,
            "secrets": sorted(kind.secrets),
            "form": _form(kind),
        }
        for kind in CHANNELS.values()
    ]
    return answer({"items": items, "next": None})


def _form(kind: ChannelKind) -> dict[str, Any]:
    """Its JSON Schema; what is made when it is left out is not required."""
    form, made = kind.config.model_json_schema(), kind.complete({})
    return {**form, "required": [name for name in form.get("required", []) if name not in made]}


async def one(request: web.Request) -> web.Response:
    """One channel, secrets masked, with how it stands with its receiver."""
    return answer(await asyncio.to_thread(_one, request.app[DESK].store, request.match_info["id"]))


def _one(store: Store, channel_id: str) -> dict[str, Any]:
    channel = channel_store.get(store, channel_id)
    return _shown(channel, standings(store, clock())[channel.name])


async def create(request: web.Request) -> web.Response:
    """Add a channel; a signing secret that was generated is in the answer, this once."""
    desk, document = request.app[DESK], await body(request)
    made = await asyncio.to_thread(channel_store.create, desk.store, desk.box, document, by=actor(request))
    return answer(_shown(made), 201)


async def replace(request: web.Request) -> web.Response:
    """Change a channel; secrets that are left out or sent back masked stay.

    `updated_at` (or If-Match) names the state it was made from, 409 when that has passed.
    """
    desk, document = request.app[DESK], await body(request)
    saved = await asyncio.to_thread(
        channel_store.update,
        desk.store,
        desk.box,
        request.match_info["id"],
        document,
        by=actor(request),
        read_at=expected_time(request),
    )
    return answer(_shown(saved))


async def remove(request: web.Request) -> web.Response:
    """Delete a channel that no rule or budget uses.

    `updated_at` (or If-Match) names the state that is meant, 409 when that has passed.
    """
    store, query = request.app[DESK].store, request.query
    read_at = moment(query["updated_at"], "updated_at") if "updated_at" in query else expected_time(request)
    await asyncio.to_thread(channel_store.delete, store, request.match_info["id"], by=actor(request), read_at=read_at)
    return web.Response(status=204)


async def test(request: web.Request) -> web.Response:
    """Send a test and show what the receiver answered."""
    desk, asked = request.app[DESK], await posted(request, TrialBody)
    notice = await _notice(request, asked.rule_id)
    who, channel_id = actor(request), request.match_info["id"]
    return answer(await trial.send(desk.store, desk.box, desk.hub, channel_id, notice, by=who))


async def _notice(request: web.Request, rule_id: str) -> Notice:
    if not rule_id:
        return sample.of_channel(clock())
    desk = request.app[DESK]
    watched = await asyncio.to_thread(watched_by_id, desk.store, rule_id)
    return await asyncio.to_thread(trial.of_rule, desk.store, watched, clock(), desk.public_url)


def _shown(channel: Channel, standing: Standing | None = None) -> dict[str, Any]:
    """What is shown of a channel; `auto_disabled`: its receiver is gone, as `disabled_reason` says."""
    shown = {
        "id": channel.id,
        "name": channel.name,
        "kind": channel.kind,
        "enabled": channel.enabled,
        "auto_disabled": not channel.enabled and bool(channel.disabled_reason),
        "disabled_reason": channel.disabled_reason,
        "config": dict(channel.shown),
        "created_at": channel.created_at,
        "updated_at": channel.updated_at,
    }
    shown |= {"breaker": standing} if standing else {}
    return {**shown, "new_secret": channel.new_secret} if channel.new_secret else shown


_BASE = "/api/notifications/channels"
_IF_MATCH = parameters.Parameter("If-Match", "The updated_at that is meant; 409 when it has passed")
_UPDATED_AT = parameters.Parameter("updated_at", _IF_MATCH.text, {"type": "string", "format": "date-time"})
_LISTED = (
    parameters.listed("kind", "Of these kinds", *CHANNELS),
    parameters.flag("enabled", "Only those that are switched on, or off"),
    parameters.flag("auto_disabled", "Only those whose receiver is gone, or the others"),
    parameters.listed("breaker", "That are sent to (closed), rest (open), or are being tried", *Phase),
    "limit",
    "cursor",
)
ROUTES = (
    Route(
        "GET",
        _BASE,
        listing,
        "Channels by name, secrets masked, with their breakers",
        query=_LISTED,
        result=LISTING,
    ),
    Route("GET", "/api/notifications/kinds", kinds, "Kinds of channel and their forms", result=LISTING),
    Route("POST", _BASE, create, "Add a channel", ChannelDocument, good=201),
    Route("GET", _BASE + "/{id}", one, "One channel, secrets masked, with its breaker"),
    Route(
        "PUT",
        _BASE + "/{id}",
        replace,
        "Change a channel; updated_at guards against lost edits",
        ChannelDocument,
        headers=(_IF_MATCH,),
    ),
    Route(
        "DELETE",
        _BASE + "/{id}",
        remove,
        "Delete a channel that no rule or budget uses",
        query=(_UPDATED_AT,),
        headers=(_IF_MATCH,),
        good=204,
    ),
    Route("POST", _BASE + "/{id}/test", test, "Send a test and show the receiver's answer", TrialBody, refuses=(502,)),
)
