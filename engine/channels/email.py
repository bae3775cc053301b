"""Mail over SMTP: text and HTML side by side, with a picture where there is one; one thread an incident."""

import asyncio
import socket
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from html import escape
from typing import Annotated, Literal

import aiosmtplib
from pydantic import AfterValidator, Field

from engine.channels.channel import ANSWER_CHARS, ChannelConfig, ChannelKind, Delivery, Receipt, Wire
from engine.channels.guard import BlockedAddress, connect
from engine.channels.plain import colour, lines, links, text_of
from engine.chart_image import HEIGHT, WIDTH
from engine.errors import DeliveryError
from engine.notice import Notice, facts

TIMEOUT_S = 15.0


def _address(text: str) -> str:
    local, at, domain = text.strip().rpartition("@")
    if not (local and at and domain) or any(char.isspace() or char in "<>," for char in text.strip()):
        raise ValueError(f"{text!r} is not a mail address")
    return text.strip()


Address = Annotated[str, AfterValidator(_address)]


class EmailConfig(ChannelConfig):
    """An SMTP server and who is written to. `security`: STARTTLS (required), TLS from the start, or plain."""

    host: str = Field(min_length=1)
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "plain"] = "starttls"
    verify_certificate: bool = True
    username: str = ""
    password: str = ""
    sender: Address
    to: Annotated[tuple[Address, ...], Field(min_length=1, max_length=50)]


async def notify(config: EmailConfig, notice: Notice, delivery: Delivery, wire: Wire) -> Receipt:
    """Send one mail to all recipients; raises DeliveryError, permanent for 5xx replies (RFC 5321, 4.2.1)."""
    del wire
    message = compose(config, notice, delivery)
    try:
        made = await connect(config.host, config.port, allow_private=config.allow_private)
        return await _hand_over(config, message, made)
    except BlockedAddress as error:
        raise DeliveryError(str(error), permanent=True) from error
    except aiosmtplib.SMTPRecipientsRefused as error:
        codes = [refused.code for refused in error.recipients]
        text = "; ".join(f"{refused.recipient}: {refused.code} {refused.message}" for refused in error.recipients)
        raise _refused("all recipients refused", max(codes), text) from error
    except aiosmtplib.SMTPResponseException as error:
        raise _refused("the mail server refused", error.code, error.message) from error
    except aiosmtplib.SMTPNotSupported as error:
        raise DeliveryError(f"the mail server cannot do what is configured: {error}", permanent=True) from error
    except (aiosmtplib.SMTPException, OSError) as error:
        raise DeliveryError(f"{type(error).__name__}: {error}") from error


async def _hand_over(config: EmailConfig, message: EmailMessage, connected: socket.socket) -> Receipt:
    client = aiosmtplib.SMTP(
        hostname=config.host,
        sock=connected,
        use_tls=config.security == "tls",
        start_tls=False,
        validate_certs=config.verify_certificate,
        timeout=TIMEOUT_S,
    )
    try:
        await client.connect()
        await _secure(client, config)
        refused, reply = await client.send_message(message)
        with suppress(aiosmtplib.SMTPException, OSError):  # the mail is accepted: a failed farewell changes nothing
            await client.execute_command(b"QUIT")
    finally:
        await _close(client, connected)
    lost = "".join(f"; {who} refused: {why.code} {why.message}" for who, why in refused.items())
    return Receipt(250, (reply + lost)[:ANSWER_CHARS], str(message["Message-ID"]))


async def _close(client: aiosmtplib.SMTP, connected: socket.socket) -> None:
    """Close at once, without the farewells of TLS, so that nothing is left when the event loop ends after this."""
    transport = client.transport
    client.close()
    if not isinstance(transport, asyncio.WriteTransport):
        connected.close()
        return
    transport.abort()
    await asyncio.sleep(0)


async def _secure(client: aiosmtplib.SMTP, config: EmailConfig) -> None:
    """Encrypt the connection where that is configured, and log in; never falls back to sending in the clear."""
    await client.ehlo()
    if config.security == "starttls":
        if not client.supports_extension("starttls"):
            raise DeliveryError("the mail server does not offer STARTTLS", permanent=True)
        await client.starttls()
    if config.username:
        await client.login(config.username, config.password)


def _refused(what: str, code: int, text: str) -> DeliveryError:
    return DeliveryError(f"{what}: {code}", permanent=code >= 500, status=code, answer=text[:ANSWER_CHARS])


def compose(config: EmailConfig, notice: Notice, delivery: Delivery) -> EmailMessage:
    """The mail, with a Message-ID that stays the same over retries and the incident's thread in References."""
    domain = config.sender.rpartition("@")[2]
    message = EmailMessage(policy=SMTP_POLICY)
    message["From"] = config.sender
    message["To"] = ", ".join(config.to)
    message["Subject"] = _one_line(notice.headline)[:200]
    message["Date"] = format_datetime(delivery.at)
    message["Message-ID"] = f"<{delivery.id}@{domain}>"
    if notice.alert_id:
        thread = f"<incident-{notice.alert_id}@{domain}>"
        message["In-Reply-To"] = thread
        message["References"] = thread
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text_of(notice))
    cid = f"chart-{delivery.id}@{domain}" if delivery.picture else ""
    message.add_alternative(html_of(notice, cid, delivery.alt), subtype="html")
    if cid:
        html = message.get_body(("html",))
        assert isinstance(html, EmailMessage)  # noqa: S101 - it was just added
        html.add_related(delivery.picture, "image", "png", cid=f"<{cid}>", disposition="inline", filename="chart.png")
    return message


def _one_line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def html_of(notice: Notice, cid: str = "", alt: str = "") -> str:
    """The HTML part: the same facts with the severity's colour; every value is escaped.

    `cid` is the id of the picture's part, and `alt` its words, where there is one.
    """
    words = "".join(f'<p style="margin:0 0 12px;white-space:pre-line">{escape(line)}</p>' for line in lines(notice))
    rows = "".join(
        f'<tr><td style="padding:2px 16px 2px 0;color:#64748b">{escape(name)}</td>'
        f'<td style="padding:2px 0"><strong>{escape(value)}</strong></td></tr>'
        for name, value in facts(notice)
    )
    urls = " &middot; ".join(f'<a href="{escape(url)}">{escape(name)}</a>' for name, url in links(notice))
    return (
        '<div style="font-family:system-ui,sans-serif;font-size:14px;color:#0f172a">'
        f'<div style="border-left:4px solid {colour(notice)};padding:4px 0 4px 16px">'
        f'<h2 style="font-size:16px;margin:0 0 12px">{escape(notice.headline)}</h2>'
        f'{words}<table style="border-collapse:collapse;margin:0 0 12px">{rows}</table>{_shown(cid, alt)}{urls}'
        "</div></div>"
    )


def _shown(cid: str, alt: str) -> str:
    if not cid:
        return ""
    style = "display:block;max-width:100%;height:auto;border-radius:6px;background:#ffffff;margin:0 0 12px"
    return f'<img src="cid:{escape(cid)}" alt="{escape(alt)}" width="{WIDTH}" height="{HEIGHT}" style="{style}">'


def preview(config: EmailConfig, notice: Notice, delivery: Delivery) -> dict[str, str]:
    """The mail's parts."""
    made = compose(config, notice, delivery)
    heads = {name.lower(): str(made[name]) for name in ("From", "To", "Subject")}
    return {**heads, "text": text_of(notice), "html": html_of(notice)}


EMAIL = ChannelKind(
    name="email",
    label="Email",
    config=EmailConfig,
    notify=notify,
    preview=preview,
    secrets=frozenset({"password"}),
    # each is a connection of its own, and mail servers count those of a client
    at_once=4,
    shows_pictures=True,
)
