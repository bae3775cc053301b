"""/api/alerts/simulate."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from data.store import Store
from engine import ledger, rules
from engine.api.moments import Moment
from engine.api.problems import BadRequest
from engine.api.reading import answer, moment, posted
from engine.api.routes import DESK, Route
from engine.api.rules import stored
from engine.api.silences import Text
from engine.durations import Duration
from engine.recorded import surroundings
from engine.rule import Rule, parse
from engine.sentence import sentence
from engine.silences import Silence
from engine.surroundings import Surroundings

_MOST_SILENCES = 100
_SUMMARY = "Replay a rule over history: what would have fired, who would have been told, and why not"


class WhatIf(BaseModel):
    """A silence that was not there: labels (or rule, rule_id, severity) and patterns, all of which must match.

    Without `starts_at` and `ends_at` it lasts for all of the time that is replayed.
    """

    model_config = ConfigDict(extra="forbid")

    matchers: Annotated[dict[Text, Text], Field(min_length=1, max_length=20)]
    starts_at: Moment | None = None
    ends_at: Moment | None = None


class SimulateBody(BaseModel):
    """A rule's document, or a stored rule's id as `rule_id`, and the time to replay, ISO 8601.

    With both the document is replayed as that rule's: silences that name the id hold, and its recorded incidents keep
    nobody quiet.

    `silences`: those that were in force then count (`stored`), or not (`none`); `more_silences` count besides, to see
    what they would have kept quiet. With `acknowledge_after` somebody takes each incident on so long after its first
    notice, until it is over; without, nobody does.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    rule: dict[str, Any] | None = None
    rule_id: str = ""
    start: str = Field(alias="from")
    end: str = Field(default="now", alias="to")
    silences: Literal["stored", "none"] = "stored"
    more_silences: Annotated[list[WhatIf], Field(max_length=_MOST_SILENCES)] = []
    acknowledge_after: Duration | None = None


async def simulate(request: web.Request) -> web.Response:
    """Replay a rule over history: what would have fired when, and who would have been told.

    Rate limits, digests, silences and the rule's own inhibition are as in the worker. What other rules keep quiet comes
    of their recorded incidents and their documents as they are now; what they sent then took from the buckets.
    """
    desk, asked = request.app[DESK], await posted(request, SimulateBody)
    rule = await asyncio.to_thread(_rule, desk.store, asked)
    start, end = moment(asked.start, "from"), moment(asked.end, "to")
    if start >= end:
        raise BadRequest("from must be before to")
    return answer(await asyncio.to_thread(_simulated, desk.store, rule, start, end, asked))


def _rule(store: Store, asked: SimulateBody) -> Rule:
    """The rule to replay; raises BadRequest, RuleError, and NotFound, also where the document is no stored rule's."""
    if asked.rule is None:
        if not asked.rule_id:
            raise BadRequest("give rule, a document, or rule_id, or both")
        return stored(store, asked.rule_id)
    if asked.rule_id:
        rules.get(store, asked.rule_id)
    return parse(asked.rule)


def _simulated(store: Store, rule: Rule, start: datetime, end: datetime, asked: SimulateBody) -> dict[str, Any]:
    around = _asked(surroundings(store, rule, start, end, rule_id=asked.rule_id), asked, start, end)
    found = ledger.simulate(store, rule, start, end, around)
    return {
        "from": start,
        "to": end,
        "every_s": rule.every,
        "sentence": sentence(rule),
        "totals": found.totals,
        "noise": found.noise,
        "transitions": found.transitions,
        "bands": sorted(found.bands, key=lambda band: band.start),
        "notices": found.notices,
        "digests": found.digests,
    }


def _asked(known: Surroundings, asked: SimulateBody, start: datetime, end: datetime) -> Surroundings:
    more = (
        Silence("", each.matchers, each.starts_at or start, each.ends_at or end, "", "", start)
        for each in asked.more_silences
    )
    kept = known.silences if asked.silences == "stored" else ()
    return replace(known, silences=(*kept, *more), acknowledge_after=asked.acknowledge_after)


_COUNTS: Mapping[str, Any] = {"type": "object", "additionalProperties": {"type": "integer"}}
_TOTALS: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "evaluations": {"type": "integer"},
        "groups": {"type": "integer"},
        "incidents": {"type": "integer"},
        "longest_incident_s": {"type": "number"},
        "notifications": {"type": "integer", "description": "notices that arrive, digests not among them"},
        "sent": {**_COUNTS, "description": "the same by channel"},
        "silent": {**_COUNTS, "description": "what was not told, by reason"},
        "digests": {**_COUNTS, "description": "digests of what was held back, by channel"},
        "held": {"type": "integer", "description": "what was held back still at the end"},
        "seconds": {"type": "object", "description": "by state, over all groups"},
    },
}
_NOISE: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "day": {"type": "string", "format": "date", "description": "in the rule's time zone"},
        "channel": {"type": "string"},
        "notices": {"type": "integer"},
        "digests": {"type": "integer"},
        "silent": _COUNTS,
    },
}
_LIST: Mapping[str, Any] = {"type": "array", "items": {"type": "object"}}
RESULT: Mapping[str, Any] = {
    "type": "object",
    "description": (
        "What the worker would have done, each list oldest first. A notice with held was kept back, to be told with "
        "others: it was at told_at. Others' rules inhibit by their recorded incidents, as these rules are now; what "
        "they sent then takes from the rate limits."
    ),
    "required": ["from", "to", "totals", "noise", "transitions", "bands", "notices", "digests"],
    "properties": {
        "from": {"type": "string", "format": "date-time"},
        "to": {"type": "string", "format": "date-time"},
        "every_s": {"type": "number"},
        "sentence": {"type": "string"},
        "totals": _TOTALS,
        "noise": {"type": "array", "items": _NOISE},
        **dict.fromkeys(("transitions", "bands", "notices", "digests"), _LIST),
    },
}

ROUTES = (Route("POST", "/api/alerts/simulate", simulate, _SUMMARY, SimulateBody, refuses=(404,), result=RESULT),)
