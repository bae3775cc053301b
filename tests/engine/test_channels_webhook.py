import json
import time
from datetime import UTC, datetime

import msgspec
import pytest
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook

from engine.channels import Delivery
from engine.channels.bodies import MAX_BODY_BYTES, Body, render
from engine.channels.http import HttpSender, retry_after
from engine.channels.webhook import WebhookConfig, new_secret, notify, signatures
from engine.errors import DeliveryError
from engine.template_sandbox import MOST_SECONDS
from tests.engine.receivers import FIRING, NOON, receiving


def config(url: str, **changes) -> WebhookConfig:
    return WebhookConfig(**{"url": url, "secret": new_secret(), "allow_private": True, **changes})


async def send(made: WebhookConfig, *, timeout_s: float = 5.0, notice=FIRING):
    async with HttpSender(timeout_s=timeout_s) as http:
        return await notify(made, notice, Delivery("n-1", datetime.now(UTC)), http)


async def failure(made: WebhookConfig, **options) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(made, **options)
    return caught.value


async def test_the_standards_own_library_verifies_what_arrives():
    async with receiving((202, {}, "thanks")) as receiver:
        made = config(receiver.url)
        receipt = await send(made)
    (got,) = receiver.got
    body = Webhook(made.secret).verify(got.body, got.headers)
    assert got.headers["webhook-id"] == "n-1"
    assert (receipt.status, receipt.answer) == (202, "thanks")
    assert body["type"] == "alert.firing"
    assert body["timestamp"] == "2026-03-01T12:00:00+00:00"
    assert (body["data"]["value"], body["data"]["threshold"], body["data"]["labels"]) == (
        512.3,
        500.0,
        {"model": "gpt-5"},
    )


async def test_both_secrets_sign_while_one_is_rotated():
    async with receiving() as receiver:
        made = config(receiver.url, previous_secret=new_secret())
        await send(made)
    (got,) = receiver.got
    for secret in (made.secret, made.previous_secret):
        Webhook(secret).verify(got.body, got.headers)


def test_a_known_message_has_the_signature_of_the_standards_example():
    # the example of the specification's reference libraries
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signatures("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, [secret]) == expected


async def test_custom_headers_are_sent():
    async with receiving() as receiver:
        await send(config(receiver.url, headers={"Authorization": "Bearer t"}))
    assert receiver.got[0].headers["authorization"] == "Bearer t"


@pytest.mark.parametrize("header", ["webhook-id", "Webhook-Signature", "content-type", "bad name", "a:b"])
def test_headers_that_would_break_the_message_are_refused(header):
    with pytest.raises(ValidationError):
        config("https://example.com", headers={header: "x"})


def test_a_header_value_cannot_smuggle_another_header():
    with pytest.raises(ValidationError):
        config("https://example.com", headers={"x-a": "1\r\nx-b: 2"})


@pytest.mark.parametrize("secret", ["", "abc", "whsec_", "whsec_!!!!", "whsec_YWJj"])
def test_a_secret_that_is_none_is_refused(secret):
    with pytest.raises(ValidationError):
        WebhookConfig(url="https://example.com", secret=secret)


@pytest.mark.parametrize(
    ("answer", "permanent", "gone", "wait"),
    [
        (500, False, False, None),
        ((503, {"Retry-After": "7"}, ""), False, False, 7.0),
        ((429, {"Retry-After": "30"}, ""), False, False, 30.0),
        (400, True, False, None),
        (404, True, False, None),
        (410, True, True, None),
        ((302, {"Location": "http://127.0.0.1/"}, ""), True, False, None),
    ],
)
async def test_what_an_answer_means_for_another_try(answer, permanent, gone, wait):
    async with receiving(answer) as receiver:
        error = await failure(config(receiver.url))
    assert (error.permanent, error.gone, error.retry_after) == (permanent, gone, wait)
    assert len(receiver.got) == 1


async def test_a_reset_connection_is_worth_another_try():
    async with receiving(None) as receiver:
        assert not (await failure(config(receiver.url))).permanent


async def test_a_receiver_that_hangs_runs_into_the_time_limit():
    async with receiving("hang") as receiver:
        error = await failure(config(receiver.url), timeout_s=0.2)
    assert not error.permanent
    assert "no answer within" in str(error)


async def test_nobody_listening_is_worth_another_try():
    async with receiving() as receiver:
        url = receiver.url
    assert not (await failure(config(url))).permanent


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "10.1.2.3", "169.254.169.254", "[::ffff:127.0.0.1]"]
)
async def test_internal_addresses_are_refused_before_anything_is_sent(host):
    async with receiving() as receiver:
        port = receiver.url.split(":")[2].split("/")[0]
        error = await failure(config(f"http://{host}:{port}/hook", allow_private=False))
        assert receiver.got == []
    assert error.permanent
    assert "allow_private" in str(error)


def test_a_body_stays_under_its_limit_and_shows_that_it_was_cut():
    long = msgspec.structs.replace(FIRING, message="ü" * 100_000, labels={f"l{n}": "x" * 5000 for n in range(50)})
    body = render(Body.STANDARD, "", long)
    assert len(body) < MAX_BODY_BYTES
    assert "[cut]" in json.loads(body)["data"]["message"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("-1", None),
        ("²", None),
    ],
)
def test_retry_after_in_both_forms(header, seconds):
    assert retry_after(header, NOON) == seconds


async def test_a_template_of_ones_own_is_filled_in():
    template = json.dumps(
        {"text": "{{ headline }}: {{value}}", "n": "{{ value }}", "model": ["{{labels.model}}", "{{labels.none}}"]}
    )
    async with receiving() as receiver:
        await send(config(receiver.url, body="template", template=template))
    assert json.loads(receiver.got[0].body) == {
        "text": "[FIRING] [HIGH] High cost (model=gpt-5): 512.3",
        "n": 512.3,
        "model": ["gpt-5", ""],
    }


def test_a_value_cannot_break_out_of_its_place_in_a_template():
    evil = msgspec.structs.replace(FIRING, title='x", "admin": "true')
    assert json.loads(render(Body.TEMPLATE, '{"text": "{{ title }}"}', evil)) == {"text": 'x", "admin": "true'}


def test_a_number_can_be_a_name_in_a_template():
    assert json.loads(render(Body.TEMPLATE, '{"{{ value }}": "{{ value }}"}', FIRING)) == {"512.3": 512.3}


@pytest.mark.parametrize("template", ["{", '{"a": "{{ nonsense }}"}', '{"{{ bad }}": 1}'])
def test_a_broken_template_is_refused_when_saved_and_sends_the_plain_message_flagged(template):
    with pytest.raises(ValidationError):
        config("https://example.com", body="template", template=template)
    sent = json.loads(render(Body.TEMPLATE, template, FIRING))
    assert sent["type"] == "alert.firing"
    assert "template is broken" in sent["data"]["flaw"]


def test_a_template_of_many_slow_texts_is_stopped_as_a_whole():
    slow = "{% for a in message %}" + "{{ message | replace('x', 'y') | truncate(1) }}" * 6 + "{% endfor %}"
    long = msgspec.structs.replace(FIRING, message="x" * 4000)
    begun = time.monotonic()
    sent = json.loads(render(Body.TEMPLATE, json.dumps([slow] * 200), long))
    assert "template is broken" in sent["data"]["flaw"]
    assert time.monotonic() - begun < 40 * MOST_SECONDS


def test_alertmanagers_body_has_its_fields():
    body = json.loads(render(Body.ALERTMANAGER, "", FIRING))
    assert (body["version"], body["status"], len(body["alerts"])) == ("4", "firing", 1)
    alert = body["alerts"][0]
    assert alert["labels"] == {"model": "gpt-5", "alertname": "High cost", "severity": "high"}
    assert alert["annotations"]["summary"] == FIRING.summary
    assert alert["startsAt"] == "2026-03-01T12:00:00+00:00"
    assert body["externalURL"] == "http://app"


@pytest.mark.parametrize("login", ["ada:hush@", "hush@"])
def test_an_address_that_would_show_a_login_is_refused(login):
    with pytest.raises(ValidationError, match="send them in headers"):
        config(f"https://{login}example.com/hook")
