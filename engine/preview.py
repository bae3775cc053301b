"""What would be said, without saying it: a template filled in, or all that a channel would send."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from msgspec import structs

from data.queries import alerts
from data.queries import notifications as rows
from data.store import Store
from engine import channel_form, channel_store, notice, sample, trial, wording
from engine.channels import CHANNELS, ChannelConfig, Delivery
from engine.channels.channel import worded
from engine.errors import NotFound
from engine.notice import Notice, NoticeStatus
from engine.rules import watched_by_id
from engine.secrets import SecretBox, redacted


@dataclass(frozen=True, slots=True)
class Asked:
    """What to preview: a rule's `template`, and a channel, stored (`channel_id`) or not yet (`kind` and `config`).

    It is about an incident (`alert_id`), about what a rule measures now (`rule_id`), or about a made-up incident.
    """

    template: str | None = None
    channel_id: str = ""
    kind: str = ""
    config: Mapping[str, Any] | None = None
    alert_id: str = ""
    rule_id: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be said; `flaw` is what was wrong with a template, `payload` what would go to the channel."""

    headline: str
    summary: str
    message: str
    flaw: str
    payload: Any = None


def preview(store: Store, box: SecretBox, asked: Asked, at: datetime, public_url: str = "") -> Preview:
    """Make everything, send nothing; raises NotFound for unknown ids, RuleError for a channel's faulty form."""
    said = notice.linked(_notice(store, asked, at, public_url), public_url)
    if asked.template is not None:
        words, flaw = wording.message(asked.template, wording.values_of_notice(said))
        said = structs.replace(said, message=words, flaw=flaw)
    if not (asked.channel_id or asked.kind):
        return Preview(said.headline, said.summary, said.message, said.flaw)
    kind, config, secrets = _channel(store, box, asked)
    said = worded(config, said)
    payload = CHANNELS[kind].preview(config, said, Delivery("preview", at))
    return Preview(said.headline, said.summary, said.message, said.flaw, _shown(payload, secrets))


def _shown(tree: Any, secrets: Mapping[str, Any]) -> Any:
    """The payload with the channel's secrets masked wherever they stand."""
    if isinstance(tree, str):
        return redacted(tree, secrets)
    if isinstance(tree, Mapping):
        return {name: _shown(item, secrets) for name, item in tree.items()}
    return [_shown(item, secrets) for item in tree] if isinstance(tree, list | tuple) else tree


def _channel(store: Store, box: SecretBox, asked: Asked) -> tuple[str, ChannelConfig, dict[str, Any]]:
    if not asked.channel_id:
        return asked.kind, *channel_form.draft(asked.kind, asked.config or {})
    row = channel_store.by_id(store, asked.channel_id)
    channel_form.kind_of(row.kind)
    return row.kind, *channel_store.config_of(row, box)


def _notice(store: Store, asked: Asked, at: datetime, public_url: str) -> Notice:
    if asked.alert_id:
        return _of_incident(store, asked.alert_id, at)
    if asked.rule_id:
        return trial.of_rule(store, watched_by_id(store, asked.rule_id), at, public_url)
    return sample.incident(at)


def _of_incident(store: Store, alert_id: str, at: datetime) -> Notice:
    """What was last said of an incident, or what can be said of it where nobody was told."""
    told = rows.history(store, alert_id=alert_id, limit=1)
    if told.height:
        return notice.decode(told["notice"][0])
    found = alerts.by_ids(store, [alert_id]).to_dicts()
    if not found:
        raise NotFound(f"there is no incident {alert_id}")
    row = found[0]
    return Notice(
        title=row["rule_name"],
        status=NoticeStatus.RESOLVED if row["resolved_at"] else NoticeStatus.FIRING,
        severity=row["severity"],
        at=at,
        summary=row["summary"],
        alert_id=alert_id,
        rule_id=row["rule_id"],
        rule_name=row["rule_name"],
        labels=orjson.loads(row["labels"]),
        value=row["value"],
        threshold=row["threshold"],
        opened_at=row["opened_at"],
        resolved_at=row["resolved_at"],
    )
