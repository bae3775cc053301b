"""What people do in PagerDuty comes back: its V3 webhooks, told apart by their signature, each obeyed once.

PagerDuty knows our incident by the key that we gave it (`incident_key`). An event is only obeyed for incidents that
this very channel was told of, and it is not sent back to where it came from.
"""

import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from data.queries import alerts, provider_events
from data.queries import notifications as told_rows
from data.queries.channels import ChannelRow
from data.store import Store
from engine import follow_up, incidents
from engine.audit import entry

_VERSION = "v1="


class Result(StrEnum):
    """What became of an event."""

    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    UNACKNOWLEDGED = "unacknowledged"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"


_MEANT = {
    "incident.acknowledged": Result.ACKNOWLEDGED,
    "incident.resolved": Result.RESOLVED,
    "incident.unacknowledged": Result.UNACKNOWLEDGED,
    "incident.reopened": Result.UNACKNOWLEDGED,
}


def is_signed(body: bytes, header: str, secrets: Iterable[str]) -> bool:
    """Whether one of the header's `v1=…` is the hex HMAC-SHA256 of `body` under one of the secrets."""
    given = [part.strip()[len(_VERSION) :] for part in header.split(",") if part.strip().startswith(_VERSION)]
    wanted = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in secrets if secret]
    return any(hmac.compare_digest(_bytes(one), _bytes(other)) for one in given for other in wanted)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def obey(store: Store, channel: ChannelRow, body: bytes, *, at: datetime, public_url: str = "") -> Result:
    """Do to our incident what was done to PagerDuty's; raises ValueError for a body that is no event.

    Raises StaleVersion when the incident keeps changing: PagerDuty sends the event again.
    """
    event = _event(body)
    event_id, meant, alert_id = event["id"], _MEANT.get(event["event_type"]), _key(event)
    if meant is None or not alert_id:
        return Result.IGNORED
    if provider_events.seen(store, event_id):
        return Result.DUPLICATE
    if not told_rows.last_told(store, [alert_id], [channel.name]):
        return Result.IGNORED
    (incident,) = alerts.by_ids(store, [alert_id]).to_dicts() or ({},)
    if not incident or not _changes(incident, meant, at):
        return Result.IGNORED
    return _done(store, channel, alert_id, meant, event, at, public_url)


def _event(body: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(body)["event"]
        return {**event, "id": str(event["id"])[:200], "event_type": str(event["event_type"])}
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError("not an event of PagerDuty's V3 webhooks") from error


def _key(event: dict[str, Any]) -> str:
    data = event.get("data")
    return str(data.get("incident_key") or "") if isinstance(data, dict) else ""


def _changes(incident: dict[str, Any], meant: Result, at: datetime) -> bool:
    """Whether the event says something new: our own acknowledgement comes back as an event too."""
    status, until = incident["status"], incident["acknowledged_until"]
    if meant is Result.ACKNOWLEDGED:
        return status == alerts.FIRING or (status == alerts.ACKNOWLEDGED and until is not None and until <= at)
    return status in alerts.OPEN if meant is Result.RESOLVED else status == alerts.ACKNOWLEDGED


def _done(  # noqa: PLR0917 - all of it is needed
    store: Store,
    channel: ChannelRow,
    alert_id: str,
    meant: Result,
    event: dict[str, Any],
    at: datetime,
    public_url: str,
) -> Result:
    by, once = _who(event), [provider_events.keeping(event["id"], channel_id=channel.id, at=at)]
    ids = [alert_id]
    if meant is Result.ACKNOWLEDGED:
        incidents.acknowledge(store, ids, by=by, at=at, told_by=channel.name, also=once)
    elif meant is Result.RESOLVED:
        incidents.resolve(store, ids, by=by, at=at, public_url=public_url, told_by=channel.name, also=once)
    else:
        told = follow_up.let_go(store, ids, by=by, at=at, besides=channel.name)
        line = entry(by, "unacknowledge", "alert", alert_id, at=at)
        store.transact([alerts.touching(alert_id, None), alerts.releasing(alert_id), line, *told, *once])
    return meant


def _who(event: dict[str, Any]) -> str:
    agent = event.get("agent")
    name = str(agent.get("summary") or "") if isinstance(agent, dict) else ""
    return f"{name[:150]} (PagerDuty)" if name else "PagerDuty"
