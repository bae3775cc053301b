import asyncio
import io
import json
import logging
import threading
from datetime import UTC, datetime

import msgspec
import pytest
from pydantic import ValidationError

from engine.channels import Delivery
from engine.channels.apprise import AppriseConfig, notify
from engine.channels.http import HttpSender
from engine.errors import DeliveryError
from engine.notice import NoticeStatus
from tests.engine.receivers import FIRING, NOON, receiving, until

RESOLVED = msgspec.structs.replace(FIRING, status=NoticeStatus.RESOLVED, reason="resolved", resolved_at=NOON)


async def send(url, notice=FIRING, *, allow_private=True):
    config = AppriseConfig(url=url, allow_private=allow_private)
    async with HttpSender() as http:
        return await notify(config, notice, Delivery("n-1", datetime.now(UTC)), http)


async def failure(url, **options) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(url, **options)
    return caught.value


def address(receiver, schema="json", more=""):
    return receiver.url.replace("http", schema, 1) + more


@pytest.mark.parametrize(("notice", "kind"), [(FIRING, "failure"), (RESOLVED, "success")])
async def test_a_service_gets_what_how_much_since_when_and_where_to_click(notice, kind):
    async with receiving() as receiver:
        receipt = await send(address(receiver), notice)
    body = json.loads(receiver.got[0].body)
    assert body["type"] == kind
    assert body["title"] == notice.headline
    for said in (FIRING.summary, "$500.00", "2026-03-01 12:00:00 UTC", FIRING.alert_url):
        assert said in body["message"]
    assert receipt.answer


@pytest.mark.parametrize(
    ("answer", "permanent", "status"),
    [(400, True, 400), (404, True, 404), (429, False, 429), (500, False, 500), (None, False, None)],
)
async def test_what_apprise_logs_says_whether_to_try_again(answer, permanent, status):
    async with receiving(answer) as receiver:
        error = await failure(address(receiver))
    assert (error.permanent, error.status) == (permanent, status)
    assert len(receiver.got) == 1


async def test_apprises_own_retries_and_redirects_are_off_whatever_the_url_says():
    async with receiving() as other:
        async with receiving((302, {"Location": other.url}, "")) as receiver:
            await failure(address(receiver, more="?retry=5&wait=0&redirect=yes"))
        assert (len(receiver.got), len(other.got)) == (1, 0)


@pytest.mark.parametrize("schema", ["json", "xml", "form", "gotify", "ntfy"])
async def test_internal_addresses_are_refused_where_the_socket_is_made(schema):
    async with receiving() as receiver:
        url = address(receiver, schema).replace("127.0.0.1", "localhost").replace("/hook", "/token123456789")
        error = await failure(url, allow_private=False)
        assert receiver.got == []
    assert error.permanent
    assert "not a public address" in str(error)


async def test_the_guard_ends_with_the_send():
    async with receiving() as receiver:
        await failure(address(receiver), allow_private=False)
        await send(address(receiver))
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    "url",
    [
        "syslog://",
        "SysLog://LOG_DAEMON",
        "dbus://",
        "gnome://",
        "windows://",
        "macosx://",
        "glib://",
        "blink1://",
        "file:///etc/passwd",
        "exec://rm",
        "mqtt://localhost/topic",
        "rsyslog://localhost",
        "vapid://me@example.com/you@example.com",
        "fcm://project/device?keyfile=/etc/shadow",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ?template=/etc/passwd",
        "nothing://at/all",
        "https://hush-hush.example.com/a",
        "hush-hush",
        "",
        "://",
    ],
)
def test_services_of_this_machine_and_what_is_none_are_refused_without_showing_the_url(url):
    with pytest.raises(ValidationError) as caught:
        AppriseConfig(url=url)
    assert "hush-hush" not in caught.value.errors()[0]["msg"]


async def test_a_text_over_the_services_limit_is_cut_visibly():
    async with receiving() as receiver:
        url = receiver.url.replace("http", "ntfy", 1).replace("/hook", "/topic")
        await send(url, msgspec.structs.replace(FIRING, message="m" * 100_000))
    assert "[cut]" in receiver.got[0].body.decode()
    assert len(receiver.got[0].body) < 20_000


async def test_a_receiver_that_hangs_holds_a_thread_and_no_more_than_four(monkeypatch):
    monkeypatch.setattr("apprise.URLBase.socket_read_timeout", 30.0)
    async with receiving("hang") as receiver:
        url = address(receiver)
        waiting = [asyncio.ensure_future(send(url)) for _ in range(4)]  # noqa: TID251 - a test's own
        await until(lambda: len(receiver.got) == 4)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert "still hang" in str(await failure(url))
        async with receiving() as lively:
            await send(address(lively))
        receiver.released.set()
        await until(lambda: not [t for t in threading.enumerate() if t.name == "others' code"])
        await send(url)


async def test_what_apprise_logs_does_not_get_into_our_log():
    ours = io.StringIO()
    handler = logging.StreamHandler(ours)
    logging.getLogger().addHandler(handler)
    try:
        async with receiving(500) as receiver:
            await failure(address(receiver, more="?+token=hush-hush"))
    finally:
        logging.getLogger().removeHandler(handler)
    assert receiver.got[0].headers["token"] == "hush-hush"
    assert "JSON" not in ours.getvalue()
    assert "hush-hush" not in ours.getvalue()
