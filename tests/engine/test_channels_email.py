import ssl
from email import message_from_bytes
from email.policy import default

import msgspec
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from pydantic import ValidationError

from engine.channels import Delivery
from engine.channels.email import EmailConfig, compose, notify
from engine.channels.http import HttpSender
from engine.errors import DeliveryError
from engine.notice import NoticeStatus
from tests.engine.receivers import FIRING, NOON, certificate, free_port

RESOLVED = msgspec.structs.replace(FIRING, status=NoticeStatus.RESOLVED, reason="resolved", resolved_at=NOON)


class Mailbox:
    """An SMTP handler that keeps mail, or refuses it with `reply`."""

    def __init__(self, reply: str = "", rcpt: str = "") -> None:
        self.reply, self.rcpt, self.mails = reply, rcpt, []

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802, ARG002
        if self.rcpt:
            return self.rcpt
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802, ARG002
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        return self.reply or "250 queued as 17"


@pytest.fixture
def serve():
    controllers = []

    def start(mailbox, **options):
        port = free_port()
        controller = Controller(mailbox, hostname="127.0.0.1", port=port, **options)
        controller.start()
        controllers.append(controller)
        return port

    yield start
    for controller in controllers:
        controller.stop()


def config(port: int = 25, **changes) -> EmailConfig:
    base = {
        "host": "127.0.0.1",
        "port": port,
        "security": "plain",
        "sender": "alerts@example.com",
        "to": ["ops@example.com"],
    }
    return EmailConfig(**{**base, "allow_private": True, **changes})


async def send(made: EmailConfig, notice=FIRING, number: str = "n-1"):
    async with HttpSender() as http:
        return await notify(made, notice, Delivery(number, NOON), http)


async def test_a_mail_says_what_matters_in_text_and_html(serve):
    mailbox = Mailbox()
    receipt = await send(config(serve(mailbox)))
    (mail,) = mailbox.mails
    text = mail.get_body(("plain",)).get_content()
    html = mail.get_body(("html",)).get_content()
    assert mail["Subject"] == "[FIRING] [HIGH] High cost (model=gpt-5)"
    for part in (text, html):
        assert "$512.30" in part
        assert "$500.00" in part
        assert "http://app/alerts?alert=a-1" in part
        assert "http://app/rules?rule=r-1" in part
    assert (receipt.status, receipt.answer) == (250, "queued as 17")
    assert receipt.provider_id == mail["Message-ID"] == "<n-1@example.com>"


async def test_an_incident_is_one_thread(serve):
    mailbox = Mailbox()
    port = serve(mailbox)
    await send(config(port))
    await send(config(port), RESOLVED, "n-2")
    first, second = mailbox.mails
    assert first["References"] == second["References"] == "<incident-a-1@example.com>"
    assert first["Message-ID"] != second["Message-ID"]
    assert second["Subject"].startswith("[RESOLVED]")


async def test_login_over_starttls(serve, tmp_path):
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    logins = []

    def authenticate(server, session, envelope, mechanism, data):
        logins.append((data.login, data.password))
        return AuthResult(success=True)

    mailbox = Mailbox()
    port = serve(mailbox, tls_context=context, authenticator=authenticate, auth_required=True, require_starttls=True)
    made = config(
        port, host="localhost", security="starttls", verify_certificate=False, username="u", password="secret"
    )
    await send(made)
    assert logins == [(b"u", b"secret")]
    assert len(mailbox.mails) == 1


async def test_tls_from_the_start(serve, tmp_path):
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    mailbox = Mailbox()
    port = serve(mailbox, ssl_context=context)
    await send(config(port, host="localhost", security="tls", verify_certificate=False))
    assert len(mailbox.mails) == 1


async def test_a_certificate_nobody_signed_is_refused(serve, tmp_path):
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    mailbox = Mailbox()
    port = serve(mailbox, tls_context=context)
    with pytest.raises(DeliveryError):
        await send(config(port, host="localhost", security="starttls"))
    assert mailbox.mails == []


async def test_a_server_without_starttls_gets_nothing_in_the_clear(serve):
    mailbox = Mailbox()
    with pytest.raises(DeliveryError) as caught:
        await send(config(serve(mailbox), security="starttls"))
    assert caught.value.permanent
    assert mailbox.mails == []


@pytest.mark.parametrize(
    ("reply", "rcpt", "permanent"),
    [("451 try later", "", False), ("554 no", "", True), ("", "450 busy", False), ("", "550 no such user", True)],
)
async def test_a_temporary_refusal_is_tried_again_and_a_final_one_is_not(serve, reply, rcpt, permanent):
    with pytest.raises(DeliveryError) as caught:
        await send(config(serve(Mailbox(reply, rcpt))))
    assert caught.value.permanent is permanent


async def test_nobody_listening_is_worth_another_try(serve):
    with pytest.raises(DeliveryError) as caught:
        await send(config(1))
    assert not caught.value.permanent


async def test_an_internal_mail_server_has_to_be_allowed(serve):
    mailbox = Mailbox()
    with pytest.raises(DeliveryError) as caught:
        await send(config(serve(mailbox), allow_private=False))
    assert caught.value.permanent
    assert mailbox.mails == []


def test_nothing_in_a_notice_can_become_a_header_or_markup():
    evil = msgspec.structs.replace(FIRING, title="x\r\nBcc: a@b.c", message="<script>alert(1)</script>", labels={})
    mail = compose(config(), evil, Delivery("n-1", NOON))
    assert mail["Bcc"] is None
    assert "<script>" not in mail.get_body(("html",)).get_content()


@pytest.mark.parametrize("address", ["", "nobody", "a@b, c@d", "a b@c.d", "a@b\r\nBcc: x@y"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValidationError):
        config(to=[address])
