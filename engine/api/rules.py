"""/api/alerts/rules."""

import asyncio
import dataclasses
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from data.queries.rule_filter import RuleFilter
from data.store import Store
from engine import rules, tick
from engine.api import parameters
from engine.api.paging import Place, a_page_by
from engine.api.problems import BadRequest
from engine.api.reading import actor, among, answer, body, expected_version, flag, posted
from engine.api.routes import DESK, LISTING, Route
from engine.cadences import instant
from engine.provisioning import FileFault
from engine.rule import Rule, Severity, kept, parse
from engine.rules import Stored
from engine.sentence import sentence
from engine.state import State
from engine.truth import GroupTruth

#: What a posted rule may carry besides its document.
_ENVELOPE = ("id", "version", "enabled", "by")


class ToggleBody(BaseModel):
    """`enabled` left out: the other way. `version` is the one that is meant: 409 when it has passed."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool | None = None
    version: int | None = Field(default=None, ge=1, le=10**9 - 1)
    by: str = ""


async def listing(request: web.Request) -> web.Response:
    """Rules by name, a page at a time; `faults` are of files that should provide rules."""
    desk, wanted = request.app[DESK], _filter(request)
    store, faults = desk.store, desk.provisioning.faults

    def found(after: Place | None, limit: int) -> list[Stored]:
        name_and_id = (after[0], after[1]) if after else None
        return [_told(rule, faults) for rule in rules.page(store, wanted, after=name_and_id, limit=limit)]

    shown = await a_page_by(request, found, lambda rule: (rule.name, rule.id), 2)
    return answer({**shown, "faults": faults})


def _filter(request: web.Request) -> RuleFilter:
    return RuleFilter(
        severity=among(request, "severity", tuple(Severity)),
        enabled=flag(request, "enabled"),
        state=among(request, "state", tuple(State)),
        labels=tuple(_label(text) for text in request.query.getall("label", [])),
        text=request.query.get("q", "").strip(),
    )


def _label(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (name and colon):
        raise BadRequest(f"label must be NAME:VALUE, not {text!r}")
    return name, value


def _told(rule: Stored, faults: tuple[FileFault, ...]) -> Stored:
    """The rule, with what is wrong with the file that provides it."""
    wrong = [str(fault) for fault in faults if fault.file and fault.file == rule.provisioned_from]
    return dataclasses.replace(rule, file_fault="\n".join(wrong)) if wrong else rule


async def one(request: web.Request) -> web.Response:
    """One rule."""
    desk = request.app[DESK]
    found = await asyncio.to_thread(rules.get, desk.store, request.match_info["id"])
    return answer(_told(found, desk.provisioning.faults))


async def create(request: web.Request) -> web.Response:
    """Add a rule; 201 with what is stored."""
    desk, (raw, envelope) = request.app[DESK], _envelope(await body(request))
    by = actor(request, str(envelope.get("by", "")))
    made = await asyncio.to_thread(rules.save, desk.store, raw, by=by, enabled=_flag(envelope))
    desk.rules_changed.set()
    return answer(made, 201)


async def replace(request: web.Request) -> web.Response:
    """Change a rule; `version` (or If-Match) names the version it was made from, 409 when that has passed."""
    desk, (raw, envelope) = request.app[DESK], _envelope(await body(request))
    saved = await asyncio.to_thread(
        rules.save,
        desk.store,
        raw,
        by=actor(request, str(envelope.get("by", ""))),
        rule_id=request.match_info["id"],
        version=expected_version(request, envelope.get("version")),
        enabled=_flag(envelope),
    )
    desk.rules_changed.set()
    return answer(saved)


async def remove(request: web.Request) -> web.Response:
    """Delete a rule."""
    desk = request.app[DESK]
    version = expected_version(request, request.query.get("version"))
    await asyncio.to_thread(rules.delete, desk.store, request.match_info["id"], by=actor(request), version=version)
    desk.rules_changed.set()
    return web.Response(status=204)


async def toggle(request: web.Request) -> web.Response:
    """Switch a rule on or off; `version` (or If-Match) names the one that is meant, 409 when that has passed."""
    desk, asked = request.app[DESK], await posted(request, ToggleBody)
    stored = await asyncio.to_thread(
        rules.toggle,
        desk.store,
        request.match_info["id"],
        by=actor(request, asked.by),
        enabled=asked.enabled,
        version=expected_version(request, asked.version),
    )
    desk.rules_changed.set()
    return answer(stored)


async def test(request: web.Request) -> web.Response:
    """Evaluate now, without consequences; a posted document is tried instead of the stored one."""
    desk, raw = request.app[DESK], (await body(request)).get("rule")
    if raw is not None and not isinstance(raw, dict):
        raise BadRequest("rule must be a rule's document")
    return answer(await asyncio.to_thread(_tested, desk.store, request.match_info["id"], raw))


def _tested(store: Store, rule_id: str, draft: dict[str, Any] | None) -> dict[str, Any]:
    rule, at = parse(draft) if draft else stored(store, rule_id), instant(datetime.now(UTC))
    groups = tick.look(store, rule, at, "" if draft else rule_id)
    return {"at": at, "sentence": sentence(rule), "groups": [_group(group) for group in groups]}


def _group(group: GroupTruth) -> dict[str, Any]:
    shown = {"labels": dict(group.labels), "truth": group.truth, "value": group.value, "threshold": group.threshold}
    return {**shown, "conditions": list(group.conditions)}


def stored(store: Store, rule_id: str) -> Rule:
    """The stored rule. Raises NotFound."""
    return kept(rules.get(store, rule_id).document)


def _envelope(raw: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document, posted as it is or under `document`, and what came with it."""
    envelope = {name: raw[name] for name in _ENVELOPE if name in raw}
    inner = raw.get("document")
    if isinstance(inner, dict):
        return inner, envelope
    return {name: value for name, value in raw.items() if name not in _ENVELOPE}, envelope


def _flag(envelope: dict[str, Any]) -> bool | None:
    enabled = envelope.get("enabled")
    if enabled is not None and not isinstance(enabled, bool):
        raise BadRequest("enabled must be true or false")
    return enabled


_IF_MATCH = parameters.Parameter("If-Match", "The version that is meant; 409 when it has passed")
_LABELS = {"type": "array", "items": {"type": "string", "pattern": "^[^:]+:"}}
_LISTED = (
    parameters.listed("severity", "Of these severities", *Severity),
    parameters.flag("enabled", "Only those that are switched on, or off"),
    parameters.listed("state", "Whose worst instance is in one of these states", *State),
    parameters.Parameter("label", "With this label, NAME:VALUE; repeated: with all of them", _LABELS),
    parameters.Parameter("q", "Found in names, labels and messages"),
    "limit",
    "cursor",
)
ROUTES = (
    Route(
        "GET",
        "/api/alerts/rules",
        listing,
        "Rules by name, with their state, health and sentence",
        query=_LISTED,
        result=LISTING,
    ),
    Route("POST", "/api/alerts/rules", create, "Add a rule: its document", Rule, good=201),
    Route("GET", "/api/alerts/rules/{id}", one, "One rule"),
    Route(
        "PUT",
        "/api/alerts/rules/{id}",
        replace,
        "Change a rule; version guards against lost edits",
        Rule,
        headers=(_IF_MATCH,),
    ),
    Route(
        "DELETE",
        "/api/alerts/rules/{id}",
        remove,
        "Delete a rule and end its incidents",
        query=("version",),
        headers=(_IF_MATCH,),
        good=204,
    ),
    Route("POST", "/api/alerts/rules/{id}/toggle", toggle, "Switch a rule on or off", ToggleBody, headers=(_IF_MATCH,)),
    Route("POST", "/api/alerts/rules/{id}/test", test, "Evaluate a rule now, each condition with its value"),
)
