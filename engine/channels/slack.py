"""Slack, by an incoming webhook or as a bot: a bot's message is changed in place when its incident is taken on or ends.

Limits as Slack documents them: Block Kit (header 150, section 3000, 10 fields of 2000, 10 context elements) and
chat.postMessage's errors.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Self

import orjson
from pydantic import Field, HttpUrl, model_validator

from engine.channels.addresses import SecretUrl
from engine.channels.channel import ChannelConfig, ChannelKind, Delivery, Receipt, Wire
from engine.channels.cutting import cut
from engine.channels.plain import colour, lines, links
from engine.errors import DeliveryError
from engine.notice import UNACKNOWLEDGED, Notice, NoticeStatus, facts

HEADER, SECTION, FIELD, FIELDS, CONTEXT = 150, 3000, 2000, 10, 10
FALLBACK = 3000
#: Slack's own troubles, and its patience: the same call may succeed later.
_PASSING = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
)
#: What was there is gone for good: the bot, its workspace, the channel.
_GONE = frozenset({"token_revoked", "account_inactive", "is_archived", "team_access_not_granted"})
_WEBHOOK_GONE = ("no_service", "no_team", "team_disabled", "channel_is_archived", "channel_not_found")


class SlackConfig(ChannelConfig):
    """An incoming webhook's `url`, or a bot's `token` (scope chat:write) and the `channel` it posts to."""

    url: SecretUrl = ""
    token: Annotated[str, Field(max_length=400)] = ""
    channel: Annotated[str, Field(max_length=200)] = ""
    api_url: HttpUrl = HttpUrl("https://slack.com/api/")

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if bool(self.url) == bool(self.token):
            raise ValueError("takes either the url of an incoming webhook or a bot's token")
        if bool(self.token) != bool(self.channel):
            raise ValueError("a bot's token goes with the channel that it posts to, a webhook has its own")
        if not self.token.isascii() or any(char.isspace() for char in self.token):
            raise ValueError("token must be one word")
        return self


async def notify(config: SlackConfig, notice: Notice, delivery: Delivery, wire: Wire) -> Receipt:
    """Post the notice, or change the incident's message; raises DeliveryError."""
    if config.url:
        return await _by_webhook(config, notice, wire)
    channel, stamp = _earlier(config, delivery.earlier)
    if stamp:
        try:
            return await _again(config, notice, delivery.earlier, {"channel": channel, "ts": stamp}, wire)
        except DeliveryError as error:
            if not error.permanent:
                raise
    # what Slack refuses to do to the earlier message says nothing of where the channel leads now
    return await _post(config, notice, wire)


def _earlier(config: SlackConfig, known: str) -> tuple[str, str]:
    """Slack's own channel and the time stamp of the incident's message; ('', '') where the bot now posts elsewhere."""
    channel, _, rest = known.partition(":")
    stamp, _, asked = rest.partition(":")
    moved = asked and config.channel not in {asked, channel}
    return ("", "") if moved else (channel, stamp)


async def _again(config: SlackConfig, notice: Notice, known: str, place: Mapping[str, str], wire: Wire) -> Receipt:
    """Change the incident's message, or reply to it; either way it stays the incident's."""
    if _reminds(notice):
        receipt = await _post(config, notice, wire, channel=place["channel"], thread_ts=place["ts"])
        return replace(receipt, provider_id=known)
    return await _call(config, "chat.update", {**place, **payload(notice)}, wire)


async def _post(config: SlackConfig, notice: Notice, wire: Wire, channel: str = "", thread_ts: str = "") -> Receipt:
    where: dict[str, Any] = {"channel": channel or config.channel}
    where |= {"thread_ts": thread_ts, "reply_broadcast": True} if thread_ts else {}
    body = {**where, **payload(notice), "unfurl_links": False, "unfurl_media": False}
    return await _call(config, "chat.postMessage", body, wire)


def _reminds(notice: Notice) -> bool:
    """Whether it wants attention anew, which a changed message would not get."""
    return notice.status is NoticeStatus.FIRING and notice.reason != UNACKNOWLEDGED


async def _by_webhook(config: SlackConfig, notice: Notice, wire: Wire) -> Receipt:
    try:
        return await wire.post(
            config.url,
            body=orjson.dumps(payload(notice)),
            headers={"content-type": "application/json"},
            allow_private=config.allow_private,
        )
    except DeliveryError as error:
        if error.permanent and (error.status in (404, 410) or error.answer.strip().startswith(_WEBHOOK_GONE)):
            error.gone = True
        raise


async def _call(config: SlackConfig, method: str, body: Mapping[str, Any], wire: Wire) -> Receipt:
    """One call of the Web API, which says in a 200 whether it worked.

    The receipt's id is `channel:ts:asked`, with the channel as Slack knows it and as the form named it.
    """
    receipt = await wire.post(
        f"{str(config.api_url).rstrip('/')}/{method}",
        body=orjson.dumps(body),
        headers={"content-type": "application/json; charset=utf-8", "authorization": f"Bearer {config.token}"},
        allow_private=config.allow_private,
    )
    try:
        said = orjson.loads(receipt.answer)
        worked, error = bool(said["ok"]), str(said.get("error", ""))
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as fault:
        raise DeliveryError("did not answer as Slack does", status=receipt.status, answer=receipt.answer) from fault
    if not worked:
        raise _refusal(error, receipt)
    return Receipt(receipt.status, receipt.answer, f"{said.get('channel', '')}:{said.get('ts', '')}:{config.channel}")


def _refusal(error: str, receipt: Receipt) -> DeliveryError:
    return DeliveryError(
        f"Slack refused: {error[:100] or 'no reason given'}",
        permanent=error not in _PASSING,
        gone=error in _GONE,
        status=receipt.status,
        answer=receipt.answer,
    )


def payload(notice: Notice) -> dict[str, Any]:
    """The message: a fallback text for previews, and blocks beside the severity's colour. Pure."""
    return {
        "text": cut(notice.headline, FALLBACK, _escaped),
        "attachments": [{"color": colour(notice), "blocks": _blocks(notice)}],
    }


def _blocks(notice: Notice) -> list[dict[str, Any]]:
    said = "\n".join(lines(notice))
    known = facts(notice)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": cut(notice.title, HEADER), "emoji": False}}
    ]
    blocks += [{"type": "section", "text": _words(cut(said, SECTION, _escaped))}] if said else []
    blocks += [{"type": "section", "fields": [_field(*fact) for fact in known[:FIELDS]]}] if known else []
    more = [_words(cut(f"{name}: {value}", FIELD, _escaped)) for name, value in known[FIELDS:]]
    if len(more) > CONTEXT:
        more = [*more[: CONTEXT - 1], _words(f"… {len(more) - CONTEXT + 1} more [cut]")]
    blocks += [{"type": "context", "elements": more}] if more else []
    where = [f"<{_address(url)}|{name}>" for name, url in links(notice) if len(_address(url)) < SECTION // 4]
    return blocks + ([{"type": "section", "text": _words(" · ".join(where))}] if where else [])


def _field(name: str, value: str) -> dict[str, Any]:
    head = cut(name, FIELD // 4, _escaped)
    return _words(f"*{head}*\n{cut(value, FIELD - len(head) - 3, _escaped)}")


def _words(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _address(url: str) -> str:
    return _escaped(url).replace("|", "%7C")


def _follows(fields: Mapping[str, Any]) -> bool:
    return bool(fields.get("channel"))


def preview(config: SlackConfig, notice: Notice, delivery: Delivery) -> dict[str, Any]:
    """The message, and the channel that a bot posts it to."""
    del delivery
    return {**({"channel": config.channel} if config.channel else {}), **payload(notice)}


SLACK = ChannelKind(
    name="slack",
    label="Slack",
    config=SlackConfig,
    notify=notify,
    preview=preview,
    secrets=frozenset({"url", "token"}),
    pause_s=1.0,
    follows=_follows,
    needs_each_end=_follows,
)
