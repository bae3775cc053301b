"""PagerDuty's Events API v2: one incident of ours is one alert there, under the same key from trigger to resolve.

What people do in PagerDuty comes back by its V3 webhooks: `engine/pagerduty_events.py`.
"""

import asyncio
from collections.abc import Awaitable
from typing import Annotated, Any

import orjson
from msgspec import structs
from pydantic import Field, HttpUrl

from engine.amounts import quantity
from engine.channels.channel import ANSWER_CHARS, ChannelConfig, ChannelKind, Delivery, Receipt, Wire
from engine.channels.cutting import cut, fitting, shortened
from engine.channels.plain import lines, links
from engine.errors import DeliveryError
from engine.notice import Notice, NoticeStatus, when

SUMMARY, DEDUP_KEY, SOURCE, MOST_BYTES = 1024, 255, 255, 512 * 1024
#: A test's two sends have so long each, together less than one send of any channel.
TRIGGER_TIMEOUT_S, RESOLVE_TIMEOUT_S = 10.0, 4.0
_SEVERITIES = {"critical": "critical", "high": "error", "medium": "warning", "low": "info", "info": "info"}
_ACTIONS = {NoticeStatus.RESOLVED: "resolve", NoticeStatus.ACKNOWLEDGED: "acknowledge"}


class PagerDutyConfig(ChannelConfig):
    """A service's integration key. With `webhook_secret` (of a V3 webhook) what is done in PagerDuty comes back.

    `previous_webhook_secret` counts too while the secret is being changed. What is open in PagerDuty when `routing_key`
    changes has to be resolved there: its end is sent with the new key.
    """

    routing_key: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_\-]+$")]
    webhook_secret: Annotated[str, Field(max_length=200)] = ""
    previous_webhook_secret: Annotated[str, Field(max_length=200)] = ""
    source: Annotated[str, Field(min_length=1, max_length=SOURCE)] = "claude-proxy"
    api_url: HttpUrl = HttpUrl("https://events.pagerduty.com/v2/enqueue")


async def notify(config: PagerDutyConfig, notice: Notice, delivery: Delivery, wire: Wire) -> Receipt:
    """Send the event; raises DeliveryError. The receipt's id is the key that PagerDuty keeps it under.

    What a test triggers is resolved again at once; the receipt has both answers.
    """
    if notice.test and notice.status is not NoticeStatus.RESOLVED:
        return await _tried(config, notice, delivery, wire)
    sent = await _sent(config, notice, delivery, wire)
    return Receipt(sent.status, sent.answer, key_of(notice, delivery))


async def _tried(config: PagerDutyConfig, notice: Notice, delivery: Delivery, wire: Wire) -> Receipt:
    key = key_of(notice, delivery)
    triggering = _sent(config, notice, delivery, wire)
    triggered = await _within(TRIGGER_TIMEOUT_S, triggering, f"; if {key} is open in PagerDuty, resolve it there")
    said = f"trigger: {_answered(triggered.status, triggered.answer)}\nresolve: "
    ended = structs.replace(notice, status=NoticeStatus.RESOLVED)
    try:
        resolved = await _within(RESOLVE_TIMEOUT_S, _sent(config, ended, delivery, wire))
    except DeliveryError as error:
        text = f"the test was triggered but not resolved, resolve {key} in PagerDuty: {error}"
        answer = said + _answered(error.status, error.answer or str(error))
        raise DeliveryError(text, permanent=error.permanent, status=error.status, answer=answer) from error
    return Receipt(resolved.status, said + _answered(resolved.status, resolved.answer), key)


async def _within(seconds: float, sending: Awaitable[Receipt], hint: str = "") -> Receipt:
    try:
        async with asyncio.timeout(seconds):
            return await sending
    except TimeoutError as error:
        raise DeliveryError(f"no answer within {seconds:g} s{hint}") from error


async def _sent(config: PagerDutyConfig, notice: Notice, delivery: Delivery, wire: Wire) -> Receipt:
    try:
        body = _body(config, notice, delivery)
    except ValueError as error:
        raise DeliveryError(str(error), permanent=True) from error
    headers = {"content-type": "application/json"}
    return await wire.post(str(config.api_url), body=body, headers=headers, allow_private=config.allow_private)


def _answered(status: int | None, answer: str) -> str:
    """One of two answers, so short that both are kept."""
    return cut(f"{status or ''} {answer}".strip(), ANSWER_CHARS // 2 - 20)


def _body(config: PagerDutyConfig, notice: Notice, delivery: Delivery) -> bytes:
    return fitting(lambda limit: shortened(event(config, notice, delivery), limit), MOST_BYTES)


def preview(config: PagerDutyConfig, notice: Notice, delivery: Delivery) -> Any:
    """The event."""
    return orjson.loads(_body(config, notice, delivery))


def key_of(notice: Notice, delivery: Delivery) -> str:
    """What the alert is known by in PagerDuty: the incident's id, for notices about no incident their own.

    A test has a key of its own, so that it touches nothing else.
    """
    return (f"test-{delivery.id}" if notice.test else notice.alert_id or delivery.id)[:DEDUP_KEY]


def event(config: PagerDutyConfig, notice: Notice, delivery: Delivery) -> dict[str, Any]:
    """The event as PagerDuty takes it; every field within its limit. Pure."""
    action = _ACTIONS.get(notice.status, "trigger")
    named = {"routing_key": config.routing_key, "event_action": action, "dedup_key": key_of(notice, delivery)}
    if action != "trigger":
        return named
    where = [{"href": url, "text": name} for name, url in links(notice) if url != notice.alert_url]
    client = {"client": "Claude Proxy Analytics"} | ({"client_url": notice.alert_url} if notice.alert_url else {})
    return {**named, **client, "links": where, "images": [], "payload": _payload(config, notice)}


def _payload(config: PagerDutyConfig, notice: Notice) -> dict[str, Any]:
    said = f"{notice.headline}: {notice.summary}" if notice.summary else notice.headline
    placed = {
        "component": notice.labels.get("provider") or notice.labels.get("model") or notice.rule_name,
        "group": notice.labels.get("team") or notice.labels.get("project", ""),
        "class": notice.metric,
    }
    return {
        "summary": cut(said, SUMMARY),
        "source": config.source,
        "severity": _SEVERITIES.get(notice.severity, "error"),
        "timestamp": notice.at.isoformat(),
        **{name: value for name, value in placed.items() if value},
        "custom_details": _details(notice),
    }


def _details(notice: Notice) -> dict[str, Any]:
    measured = notice.metric or notice.value is not None
    known = {
        "value": quantity(notice.value, notice.unit) if measured else "",
        "threshold": quantity(notice.threshold, notice.unit) if notice.threshold is not None else "",
        "since": when(notice.opened_at) if notice.opened_at else "",
        "message": "\n".join(lines(notice)),
        "runbook": notice.runbook,
    }
    marked: dict[str, Any] = {"test": True} if notice.test else {}
    return {**marked, **{name: text for name, text in known.items() if text}, "labels": dict(notice.labels)}


def _follows(_: object) -> bool:
    return True


PAGERDUTY = ChannelKind(
    name="pagerduty",
    label="PagerDuty",
    config=PagerDutyConfig,
    notify=notify,
    preview=preview,
    secrets=frozenset({"routing_key", "webhook_secret", "previous_webhook_secret"}),
    pause_s=0.5,
    follows=_follows,
    needs_each_end=_follows,
)
