"""Webhooks as Standard Webhooks 1.0 has them: signed, with an id that stays the same over retries."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Self

import orjson
from pydantic import AfterValidator, Field, HttpUrl, model_validator

from engine.channels.bodies import Body, check_template, render, texts_of
from engine.channels.channel import ChannelConfig, ChannelKind, Delivery, Receipt, Wire
from engine.notice import Notice
from engine.templates import Fill, evaluate

_PREFIX = "whsec_"
_TOKEN = re.compile(r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$")
_OURS = frozenset({"webhook-id", "webhook-timestamp", "webhook-signature", "content-type", "content-length", "host"})


def _key(secret: str) -> bytes:
    """The signing key of a `whsec_…` secret; raises ValueError unless it holds 24 to 64 bytes of base64."""
    if not secret.startswith(_PREFIX):
        raise ValueError("must start with whsec_")
    text = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("must be base64 after whsec_") from error
    if not 24 <= len(key) <= 64:
        raise ValueError(f"must hold 24 to 64 bytes, holds {len(key)}")
    return key


def _secret(text: str) -> str:
    _key(text)
    return text


def _secret_or_none(text: str) -> str:
    return _secret(text) if text else text


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _TOKEN.match(name):
            raise ValueError(f"{name!r} is not a header name")
        if name.lower() in _OURS:
            raise ValueError(f"{name} is set by the gateway")
        if any(char in value for char in "\r\n\0"):
            raise ValueError(f"the value of {name} holds a line break")
    return headers


def _without_login(url: HttpUrl) -> HttpUrl:
    if url.username or url.password:
        raise ValueError("must not hold a user name or password, which would be shown; send them in headers")
    return url


Secret = Annotated[str, AfterValidator(_secret)]


class WebhookConfig(ChannelConfig):
    """Where to post and how to sign. `previous_secret` signs too while a secret is being rotated.

    `body` is the shape of what is sent; a `template` is JSON whose texts hold `{{ name }}`s of the notice.
    """

    url: Annotated[HttpUrl, AfterValidator(_without_login)]
    secret: Secret
    previous_secret: Annotated[str, AfterValidator(_secret_or_none)] = ""
    headers: Annotated[dict[str, str], Field(max_length=20), AfterValidator(_headers)] = Field(default_factory=dict)
    body: Body = Body.STANDARD
    template: Annotated[str, Field(max_length=8000), AfterValidator(check_template)] = ""

    @model_validator(mode="after")
    def _has_its_template(self) -> Self:
        if self.body is Body.TEMPLATE and not self.template:
            raise ValueError("template is required with body: template")
        return self

    def templates(self) -> Iterator[tuple[str, str, Fill]]:
        """Its message, and every text in its template."""
        yield from super().templates()
        yield from (("template", text, evaluate) for text in texts_of(self.template))

    def idle(self) -> Iterator[tuple[str, str]]:
        """A template that is not sent."""
        if self.template and self.body is not Body.TEMPLATE:
            yield "template", f"has no effect with body: {self.body}, only with body: template"


def new_secret() -> str:
    """A fresh signing secret of 32 random bytes."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signatures(message_id: str, timestamp: int, body: bytes, keys: Iterable[str]) -> str:
    """The `webhook-signature` header: one `v1,…` a secret, separated by spaces."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.new(_key(secret), signed, hashlib.sha256).digest() for secret in keys if secret)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


async def notify(config: WebhookConfig, notice: Notice, delivery: Delivery, wire: Wire) -> Receipt:
    """Post the signed notice; raises DeliveryError."""
    body = await _body(config, notice)
    timestamp = int(delivery.at.timestamp())
    headers = {
        **config.headers,
        "content-type": "application/json",
        "webhook-id": delivery.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures(delivery.id, timestamp, body, (config.secret, config.previous_secret)),
    }
    return await wire.post(str(config.url), body=body, headers=headers, allow_private=config.allow_private)


async def _body(config: WebhookConfig, notice: Notice) -> bytes:
    # a template may take its time, which is not the event loop's
    if config.body is Body.TEMPLATE:
        return await asyncio.to_thread(render, config.body, config.template, notice)
    return render(config.body, config.template, notice)


def preview(config: WebhookConfig, notice: Notice, delivery: Delivery) -> Any:
    """The body."""
    del delivery
    return orjson.loads(render(config.body, config.template, notice))


def _complete(fields: dict[str, Any]) -> dict[str, Any]:
    return fields if fields.get("secret") else {**fields, "secret": new_secret()}


def _needs_each_end(fields: Mapping[str, Any]) -> bool:
    return fields.get("body") == Body.ALERTMANAGER


WEBHOOK = ChannelKind(
    name="webhook",
    label="Webhook",
    config=WebhookConfig,
    notify=notify,
    preview=preview,
    secrets=frozenset({"secret", "previous_secret", "headers"}),
    addresses=frozenset({"url"}),
    complete=_complete,
    rotates={"secret": "previous_secret"},
    needs_each_end=_needs_each_end,
)
