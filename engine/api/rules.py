"""/api/alerts/rules and /api/alerts/simulate."""

import asyncio
import dataclasses
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from data.store import Store
from engine import ledger, rules, tick
from engine.api.problems import BadRequest
from engine.api.reading import actor, answer, body, expected_version, moment, posted
from engine.api.routes import DESK, LISTING, Route
from engine.evaluator import instant
from engine.provisioning import FileFault
from engine.rule import Rule, kept, parse
from engine.rules import Stored
from engine.sentence import sentence
from engine.truth import GroupTruth

#: What a posted rule may carry besides its document.
_ENVELOPE = ("id", "version", "enabled", "by")


class ToggleBody(BaseModel):
    """`enabled` left out: the other way."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool | None = None
    by: str = ""


class SimulateBody(BaseModel):
    """A rule's document (or a stored rule's id as `rule_id`) and the time to replay, ISO 8601."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    rule: dict[str, Any] | None = None
    rule_id: str = ""
    start: str = Field(alias="from")
    end: str = Field(default="now", alias="to")


async def listing(request: web.Request) -> web.Response:
    """Every rule, by name; `faults` are of files that should provide rules."""
    desk = request.app[DESK]
    found = await asyncio.to_thread(rules.every, desk.store)
    faults = desk.provisioning.faults
    items = [_told(rule, faults) for rule in found]
    return answer({"items": items, "next": None, "faults": faults})


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
    """Switch a rule on or off."""
    desk, asked = request.app[DESK], await posted(request, ToggleBody)
    stored = await asyncio.to_thread(
        rules.toggle, desk.store, request.match_info["id"], by=actor(request, asked.by), enabled=asked.enabled
    )
    desk.rules_changed.set()
    return answer(stored)


async def test(request: web.Request) -> web.Response:
    """Evaluate now, without consequences; a posted document is tried instead of the stored one."""
    desk, raw = request.app[DESK], (await body(request)).get("rule")
    if raw is not None and not isinstance(raw, dict):
        raise BadRequest("rule must be a rule's document")
    rule = parse(raw) if raw else await asyncio.to_thread(_stored, desk.store, request.match_info["id"])
    return answer(await asyncio.to_thread(_tested, desk.store, rule))


def _tested(store: Store, rule: Rule) -> dict[str, Any]:
    at = instant(datetime.now(UTC))
    groups = tick.look(store, rule, at)
    return {"at": at, "sentence": sentence(rule), "groups": [_group(group) for group in groups]}


def _group(group: GroupTruth) -> dict[str, Any]:
    shown = {"labels": dict(group.labels), "truth": group.truth, "value": group.value, "threshold": group.threshold}
    return {**shown, "conditions": list(group.conditions)}


async def simulate(request: web.Request) -> web.Response:
    """Replay a rule over history: what would have fired when, and who would have been told."""
    desk, asked = request.app[DESK], await posted(request, SimulateBody)
    if (asked.rule is None) == (not asked.rule_id):
        raise BadRequest("give either rule, a document, or rule_id")
    written = asked.rule is not None
    rule = parse(asked.rule or {}) if written else await asyncio.to_thread(_stored, desk.store, asked.rule_id)
    start, end = moment(asked.start, "from"), moment(asked.end, "to")
    if start >= end:
        raise BadRequest("from must be before to")
    return answer(await asyncio.to_thread(_simulated, desk.store, rule, start, end))


def _simulated(store: Store, rule: Rule, start: datetime, end: datetime) -> dict[str, Any]:
    found = ledger.simulate(store, rule, start, end)
    return {
        "from": start,
        "to": end,
        "every_s": rule.every,
        "sentence": sentence(rule),
        "totals": found.totals,
        "transitions": found.transitions,
        "bands": found.bands,
        "notices": found.notices,
    }


def _stored(store: Store, rule_id: str) -> Rule:
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


ROUTES = (
    Route("GET", "/api/alerts/rules", listing, "Every rule with its state, health and sentence", result=LISTING),
    Route("POST", "/api/alerts/rules", create, "Add a rule: its document", Rule, good=201),
    Route("GET", "/api/alerts/rules/{id}", one, "One rule"),
    Route("PUT", "/api/alerts/rules/{id}", replace, "Change a rule; version guards against lost edits", Rule),
    Route(
        "DELETE", "/api/alerts/rules/{id}", remove, "Delete a rule and end its incidents", query=("version",), good=204
    ),
    Route("POST", "/api/alerts/rules/{id}/toggle", toggle, "Switch a rule on or off", ToggleBody),
    Route("POST", "/api/alerts/rules/{id}/test", test, "Evaluate a rule now, each condition with its value"),
    Route("POST", "/api/alerts/simulate", simulate, "Replay a rule over history", SimulateBody, refuses=(404,)),
)
