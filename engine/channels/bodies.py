"""What a webhook carries: the standard body, Alertmanager's, or a template of one's own. Pure."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

import orjson
from msgspec import structs

from engine import templates
from engine.channels.cutting import fitting, shortened
from engine.channels.values import check_words, fields_of, values_of
from engine.errors import TemplateFault
from engine.notice import Notice, NoticeStatus

MAX_BODY_BYTES = 20_000
#: What is about no incident fires for so long, Alertmanager's own `resolve_timeout`: nothing else ever ends it.
_MESSAGE_FIRES_FOR = timedelta(minutes=5)
_NO_END = "0001-01-01T00:00:00Z"


class Body(StrEnum):
    """The shapes a webhook can have."""

    STANDARD = "standard"
    ALERTMANAGER = "alertmanager"
    TEMPLATE = "template"


def render(shape: Body, template: str, notice: Notice) -> bytes:
    """The body under 20 kB, long texts cut visibly; a broken template gives the standard body, flagged (`flaw`)."""
    if shape is Body.ALERTMANAGER:
        return _fitting(lambda limit: shortened(alertmanager(notice), limit))
    if shape is Body.TEMPLATE:
        try:
            filled = _filled(orjson.loads(template), values_of(notice), templates.deadline())
        except (orjson.JSONDecodeError, TemplateFault) as error:
            notice = structs.replace(notice, flaw=f"the template is broken: {error}")
        else:
            return _fitting(lambda limit: shortened(filled, limit))
    return _fitting(lambda limit: shortened(standard(notice), limit))


def standard(notice: Notice) -> dict[str, Any]:
    """`{type, timestamp, data}` (Standard Webhooks 1.0)."""
    return {"type": notice.type, "timestamp": notice.at, "data": fields_of(notice)}


def alertmanager(notice: Notice) -> dict[str, Any]:
    """Alertmanager's webhook body, version 4, with one alert for each incident.

    What is about no incident is an alert whose end is known from the beginning.
    """
    state = "resolved" if notice.status is NoticeStatus.RESOLVED else "firing"
    labels = {**notice.labels, "alertname": notice.rule_name or notice.title, "severity": notice.severity}
    notes = {"summary": notice.summary, "description": notice.message, "runbook_url": notice.runbook}
    annotations = {name: text for name, text in notes.items() if text}
    alert = {
        "status": state,
        "labels": labels,
        "annotations": annotations,
        "startsAt": notice.opened_at or notice.at,
        "endsAt": _ends_at(notice),
        "generatorURL": notice.rule_url,
        "fingerprint": _fingerprint(notice, notice.labels),
    }
    members = [
        {
            **alert,
            "labels": {**labels, **member.labels},
            "annotations": {**annotations, "summary": member.summary},
            "startsAt": member.opened_at or notice.at,
            "fingerprint": _fingerprint(notice, member.labels),
        }
        for member in notice.groups
    ]
    return {
        "version": "4",
        "groupKey": f"{notice.rule_id}:{notice.alert_id}",
        "truncatedAlerts": max(notice.group_count - len(notice.groups), 0),
        "status": state,
        "receiver": "webhook",
        "groupLabels": dict(notice.labels),
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": notice.rule_url.partition("/rules?")[0],
        "alerts": members or [alert],
    }


def _ends_at(notice: Notice) -> Any:
    if notice.status is NoticeStatus.MESSAGE:
        return notice.at + _MESSAGE_FIRES_FOR
    return notice.resolved_at or _NO_END


def _fingerprint(notice: Notice, labels: Mapping[str, str]) -> str:
    """16 hex digits that tell a rule's groups apart and are the same whenever one of them fires again."""
    known = orjson.dumps([notice.rule_id or notice.title, sorted(labels.items())])
    return hashlib.blake2b(known, digest_size=8).hexdigest()


def check_template(text: str) -> str:
    """The template itself; a ValueError says what is wrong with it."""
    if not text:
        return text
    try:
        tree = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"must be JSON with {{{{ name }}}} inside its texts: {error}") from error
    for each in _texts(tree):
        check_words(each)
    return text


def texts_of(template: str) -> Iterator[str]:
    """The texts in a template that was checked."""
    yield from _texts(orjson.loads(template)) if template else ()


def _texts(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    children = [*tree.keys(), *tree.values()] if isinstance(tree, dict) else tree if isinstance(tree, list) else []
    for child in children:
        yield from _texts(child)


def _filled(tree: Any, values: Mapping[str, Any], until: float) -> Any:
    """The template with values put in; a text that is nothing but one name takes the value as it is (a number)."""
    if isinstance(tree, dict):
        return {_name(name, values, until): _filled(item, values, until) for name, item in tree.items()}
    if isinstance(tree, list):
        return [_filled(item, values, until) for item in tree]
    return templates.evaluate(tree, values, until=until) if isinstance(tree, str) else tree


def _name(text: str, values: Mapping[str, Any], until: float) -> str:
    made = templates.evaluate(text, values, until=until)
    return "" if made is None else str(made)


def _fitting(make: Callable[[int], Any]) -> bytes:
    """The body under its limit; a word of it where no cutting helps."""
    try:
        return fitting(make, MAX_BODY_BYTES)
    except ValueError as error:
        return orjson.dumps({"type": "alert.too_large", "data": {"flaw": str(error)}})
