"""Microsoft Teams by a Workflows webhook: an adaptive card, version 1.2, which the Teams of every device can show."""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import field_validator

from engine.channels.addresses import SecretUrl
from engine.channels.channel import ChannelConfig, ChannelKind, Delivery, Receipt, Wire
from engine.channels.cutting import fitting, shortened
from engine.channels.plain import lines, links
from engine.errors import DeliveryError
from engine.notice import Notice, NoticeStatus, facts

MOST_BYTES = 28 * 1024
_STYLES = {"critical": "attention", "high": "attention", "medium": "warning", "low": "accent", "info": "emphasis"}
_ENDED = {NoticeStatus.RESOLVED: "good", NoticeStatus.ACKNOWLEDGED: "emphasis"}
#: What went wrong behind the webhook stands in the text of a good answer.
_HIDDEN = re.compile(r"HTTP error (\d{3})|\"(?:status|statusCode)\"\s*:\s*([45]\d\d)\b", re.IGNORECASE)


class TeamsConfig(ChannelConfig):
    """The address that the flow "Post to a channel when a webhook request is received" shows."""

    url: SecretUrl

    @field_validator("url")
    @classmethod
    def _is_there(cls, url: str) -> str:
        if not url:
            raise ValueError("must not be empty")
        return url


async def notify(config: TeamsConfig, notice: Notice, delivery: Delivery, wire: Wire) -> Receipt:
    """Post the card; raises DeliveryError, also for a refusal that hides in a good answer."""
    del delivery
    try:
        body = _body(notice)
    except ValueError as error:
        raise DeliveryError(str(error), permanent=True) from error
    receipt = await wire.post(
        config.url, body=body, headers={"content-type": "application/json"}, allow_private=config.allow_private
    )
    if hidden := _HIDDEN.search(receipt.answer):
        status = int(hidden.group(1) or hidden.group(2))
        passing = status in (408, 429) or status >= 500
        raise DeliveryError(
            f"answered {receipt.status}, but Teams said {status}",
            permanent=not passing,
            gone=status == 410,
            status=status,
            answer=receipt.answer,
        )
    return receipt


def _body(notice: Notice) -> bytes:
    return fitting(lambda limit: _within(message(notice), limit), MOST_BYTES)


def preview(config: TeamsConfig, notice: Notice, delivery: Delivery) -> Any:
    """The card in its envelope."""
    del config, delivery
    return orjson.loads(_body(notice))


def message(notice: Notice) -> dict[str, Any]:
    """The card in its envelope. Pure."""
    return {
        "type": "message",
        "attachments": [
            {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card(notice)}
        ],
    }


def card(notice: Notice) -> dict[str, Any]:
    """The adaptive card: a headline in the severity's colour, sentences, facts, and buttons that lead to the app."""
    style = _ENDED.get(notice.status) or _STYLES.get(notice.severity, "default")
    headline = {"type": "Container", "style": style, "bleed": True, "items": [_text(notice.headline, weight="Bolder")]}
    table = {
        "type": "FactSet",
        "facts": [{"title": _plain(name), "value": _plain(value)} for name, value in facts(notice)],
    }
    actions = [{"type": "Action.OpenUrl", "title": name, "url": url} for name, url in links(notice)]
    return {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "fallbackText": notice.headline,
        "msteams": {"width": "Full"},
        "body": [headline, *(_text(line) for line in lines(notice)), table],
        "actions": actions,
    }


def _text(text: str, **look: Any) -> dict[str, Any]:
    """A block of words that are not read as Markdown: what callers name themselves must make no links."""
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **look}]}


def _plain(text: str) -> str:
    """A fact's words, which are read as Markdown, with nothing in them that makes a link."""
    return text.replace("](", "]\u200b(")


def _within(made: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """The message with its texts cut; addresses and the card's own words stay whole."""
    return {name: _shorter(name, item, limit) for name, item in made.items()}


def _shorter(name: str, item: Any, limit: int) -> Any:
    if isinstance(item, Mapping):
        return _within(item, limit)
    if isinstance(item, list):
        return [_shorter(name, each, limit) for each in item]
    return shortened(item, limit) if name in {"text", "value", "title", "fallbackText"} else item


TEAMS = ChannelKind(
    name="teams",
    label="Microsoft Teams",
    config=TeamsConfig,
    notify=notify,
    preview=preview,
    secrets=frozenset({"url"}),
)
