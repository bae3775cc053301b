"""What a webhook carries: the standard body, Alertmanager's, or a template of one's own. Pure."""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import orjson
from msgspec import structs, to_builtins

from engine.notice import Notice, NoticeStatus, when

MAX_BODY_BYTES = 20_000
_CUT = "… [cut]"
_PLACEHOLDER = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")


class Body(StrEnum):
    """The shapes a webhook can have."""

    STANDARD = "standard"
    ALERTMANAGER = "alertmanager"
    TEMPLATE = "template"


def render(shape: Body, template: str, notice: Notice) -> bytes:
    """The body under 20 kB, long texts cut visibly; a broken template gives the standard body, flagged (`flaw`)."""
    if shape is Body.ALERTMANAGER:
        return _fitting(lambda limit: _cut(alertmanager(notice), limit))
    if shape is Body.TEMPLATE:
        try:
            filled = _filled(orjson.loads(template), _values(notice))
        except (orjson.JSONDecodeError, KeyError) as error:
            notice = structs.replace(notice, flaw=f"the template is broken: {error}")
        else:
            return _fitting(lambda limit: _cut(filled, limit))
    return _fitting(lambda limit: _cut(standard(notice), limit))


def standard(notice: Notice) -> dict[str, Any]:
    """`{type, timestamp, data}` (Standard Webhooks 1.0)."""
    return {"type": notice.type, "timestamp": notice.at, "data": _fields(notice)}


def alertmanager(notice: Notice) -> dict[str, Any]:
    """Alertmanager's webhook body, version 4, with one alert for each incident."""
    state = "resolved" if notice.status is NoticeStatus.RESOLVED else "firing"
    labels = {**notice.labels, "alertname": notice.rule_name or notice.title, "severity": notice.severity}
    notes = {"summary": notice.summary, "description": notice.message, "runbook_url": notice.runbook}
    annotations = {name: text for name, text in notes.items() if text}
    alert = {
        "status": state,
        "labels": labels,
        "annotations": annotations,
        "startsAt": notice.opened_at or notice.at,
        "endsAt": notice.resolved_at or "0001-01-01T00:00:00Z",
        "generatorURL": notice.rule_url,
        "fingerprint": notice.alert_id.replace("-", "")[:16],
    }
    members = [
        {
            **alert,
            "labels": {**labels, **member.labels},
            "annotations": {**annotations, "summary": member.summary},
            "startsAt": member.opened_at or notice.at,
            "fingerprint": member.alert_id.replace("-", "")[:16],
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


def check_template(text: str) -> str:
    """The template itself; a ValueError says what is wrong with it."""
    if not text:
        return text
    try:
        tree = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"must be JSON with {{{{ name }}}} inside its texts: {error}") from error
    unknown = sorted(name for name in _names(tree) if name not in _fields_known() and not name.startswith("labels."))
    if unknown:
        raise ValueError(f"names {', '.join(unknown)}; known are {', '.join(sorted(_fields_known()))} and labels.NAME")
    return text


def _fields(notice: Notice) -> dict[str, Any]:
    fields: dict[str, Any] = {name: getattr(notice, name) for name in notice.__struct_fields__ if name != "at"}
    return {**fields, "labels": dict(notice.labels), "groups": to_builtins(notice.groups)}


def _fields_known() -> set[str]:
    return {*Notice.__struct_fields__, "headline", "type"} - {"labels"}


def _values(notice: Notice) -> dict[str, Any]:
    fields = {**_fields(notice), "at": when(notice.at), "headline": notice.headline, "type": notice.type}
    return {**fields, **{f"labels.{name}": value for name, value in notice.labels.items()}}


def _names(tree: Any) -> set[str]:
    if isinstance(tree, str):
        return set(_PLACEHOLDER.findall(tree))
    children = [*tree.keys(), *tree.values()] if isinstance(tree, dict) else tree if isinstance(tree, list) else []
    return {name for child in children for name in _names(child)}


def _filled(tree: Any, values: Mapping[str, Any]) -> Any:
    """The template with values put in; a text that is nothing but one name takes the value as it is (a number)."""
    if isinstance(tree, dict):
        return {_text(_filled(name, values)): _filled(item, values) for name, item in tree.items()}
    if isinstance(tree, list):
        return [_filled(item, values) for item in tree]
    if not isinstance(tree, str):
        return tree
    if whole := _PLACEHOLDER.fullmatch(tree.strip()):
        return _value(whole.group(1), values)
    return _PLACEHOLDER.sub(lambda match: _text(_value(match.group(1), values)), tree)


def _value(name: str, values: Mapping[str, Any]) -> Any:
    """A label that this incident does not have is empty; any other unknown name is a fault of the template."""
    return values.get(name, "") if name.startswith("labels.") else values[name]


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _fitting(make: Callable[[int], Any]) -> bytes:
    """The first body under the limit, its texts cut ever shorter; a word of it where nothing helps."""
    body = b""
    for limit in (MAX_BODY_BYTES, 2_000, 500, 100, 20):
        body = orjson.dumps(make(limit))
        if len(body) < MAX_BODY_BYTES:
            return body
    return orjson.dumps({"type": "alert.too_large", "data": {"flaw": f"the message had {len(body)} bytes"}})


def _cut(value: Any, limit: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= limit else value[:limit] + _CUT
    if isinstance(value, Mapping):
        return {name[:limit]: _cut(item, limit) for name, item in value.items()}
    return [_cut(item, limit) for item in value] if isinstance(value, list) else value
