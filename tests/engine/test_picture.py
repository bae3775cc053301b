"""The picture that a mail about something firing gets: from a real ledger, through a real sender, to a mail server."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from data.client import FlightStore
from data.queries import notifications
from engine import channel_store, outbox, picture
from engine.audit import new_id
from engine.channels.http import HttpSender
from engine.chart_image import Chart
from engine.delivery import Sender
from engine.episode import Watched
from engine.inbox import Hub, Wires
from engine.notice import Notice, NoticeStatus, decode
from engine.secrets import SecretBox
from engine.tick import tick
from tests.engine.receivers import FIRING, until
from tests.engine.test_channels_email import Mailbox, serve  # noqa: F401 - a fixture
from tests.engine.traffic import COSTLY, MINUTE, NOON, SECOND, again, rows, spend, watch

HOUR = timedelta(hours=1)


def notice_of(rule: Watched, **changes: object):
    told = {"rule_id": rule.id, "at": NOON, "opened_at": NOON - 5 * MINUTE, "value": 3.0, "threshold": 2.0}
    return msgspec.structs.replace(FIRING, **{**told, "labels": {}, **changes})


def said_of(store) -> list[Notice]:
    """Every notice there is, in the order they were made."""
    return [decode(text) for (text,) in rows(store, "notifications", "notice")]


def known(chart: Chart) -> list[tuple[datetime, float | None]]:
    return [(at, value) for at, value in chart.points if value]


def test_it_shows_the_rules_scope_and_this_group_alone_up_to_the_instant(store):
    spend(store, NOON - 20 * MINUTE, "2", model="opus")
    spend(store, NOON - 20 * MINUTE, "5", model="haiku")
    spend(store, NOON - 20 * MINUTE, "9", model="opus", key="other")
    rule = watch(store, group_by=["model"], where={"key": ["k"]})
    chart = picture.charted(store, notice_of(rule, at=NOON + 17 * SECOND, labels={"model": "opus"}, value=1.5))
    assert (chart.points[0][0], chart.points[-1][0]) == (NOON - HOUR, NOON + 17 * SECOND)
    assert known(chart) == [*((NOON - n * MINUTE, 2.0) for n in (19, 18, 17, 16, 15)), (NOON + 17 * SECOND, 1.5)]
    assert (chart.title, chart.limit, chart.threshold) == ("Cost over the last 5 minutes", "above $2", 2.0)
    assert chart.fires_since == NOON - 5 * MINUTE
    assert picture.words(chart) == (
        "Cost over the last 5 minutes, 2026-03-01 11:00 to 2026-03-01 12:00 UTC: $1.50 at the end, threshold above $2"
    )


@pytest.mark.parametrize(
    ("window", "length"),
    [("1m", HOUR), ("10m", 2 * HOUR), ("1d", timedelta(days=12)), ("30d", timedelta(days=360))],
)
def test_it_goes_back_twelve_windows_and_an_hour_at_least(store, window, length):
    rule = watch(store, when={"metric": "cost", "window": window, "op": ">", "value": 1})
    chart = picture.charted(store, notice_of(rule))
    assert abs((chart.points[-1][0] - chart.points[0][0]) / length - 1) < 0.05
    assert 50 <= len(chart.points) <= 130


def test_a_change_is_shown_as_the_rule_sees_it(store):
    for minutes, usd in ((14, "2"), (9, "3"), (4, "6")):
        spend(store, NOON - minutes * MINUTE, usd)
    compare = {"metric": "cost", "window": "5m", "compare": {"to": "previous"}, "op": ">", "value": 50}
    rule = watch(store, when={"all": [compare, {"metric": "requests", "window": "5m", "op": ">", "value": 0}]})
    chart = picture.charted(store, notice_of(rule, unit="percent", value=100.0, threshold=50.0))
    assert dict(chart.points)[NOON - 5 * MINUTE] == 50
    assert (chart.title, chart.limit) == ("Change in cost over the last 5 minutes", "above +50 %")


def test_of_two_conditions_on_a_metric_the_one_that_is_told_of_is_shown(store):
    told = [{"metric": "cost", "window": window, "op": ">", "value": usd} for window, usd in (("5m", 2), ("1h", 7))]
    rule = watch(store, when={"any": told})
    assert picture.charted(store, notice_of(rule, threshold=7.0)).title == "Cost over the last hour"
    assert picture.charted(store, notice_of(rule)).title == "Cost over the last 5 minutes"
    assert picture.charted(store, notice_of(rule, metric="requests")) is None


def test_a_notice_of_many_groups_shows_the_worst_of_them(store):
    spend(store, NOON - MINUTE, "2", model="opus")
    spend(store, NOON - MINUTE, "5", model="haiku")
    either = [COSTLY["when"], {"metric": "requests", "window": "5m", "op": ">", "value": 9}]
    tick(store, [watch(store, group_by=["model"], when={"any": either})], NOON)
    (said,) = (made for made in said_of(store) if made.groups)
    chart = picture.charted(store, said)
    assert {value for _, value in known(chart)} == {5.0}
    assert (chart.title, chart.unit, chart.limit) == ("Cost over the last 5 minutes", "usd", "above $1")
    assert chart.fires_since == NOON


def test_many_groups_are_not_shown_where_it_is_open_which_condition_told_of_them(store):
    spend(store, NOON - MINUTE, "2", model="opus")
    spend(store, NOON - MINUTE, "5", model="haiku")
    either = [COSTLY["when"], {"metric": "errors", "window": "5m", "op": ">", "value": 1}]
    tick(store, [watch(store, group_by=["model"], when={"any": either})], NOON)
    (said,) = (made for made in said_of(store) if made.groups)
    assert picture.charted(store, said) is None


def flapped(store) -> list[Notice]:
    """A group fires three times, a minute long each, before 12:00, 12:10 and 12:20; what is told of it."""
    when = {"metric": "cost", "window": "1m", "op": ">", "value": 1}
    rule = watch(store, flapping={"count": 3, "within": "30m"}, when=when)
    for n in range(0, 21, 10):
        spend(store, NOON + n * MINUTE - SECOND, "2")
    for n in range(0, 21, 5):
        tick(store, [rule], NOON + n * MINUTE)
    return said_of(store)


@pytest.mark.parametrize("reason", ["flapping", "fallback"])
def test_what_flaps_is_shown_over_the_time_it_did_with_each_time_it_fired(store, reason):
    flapping = flapped(store)[-1]
    assert flapping.reason == "flapping"
    late = NOON + 40 * MINUTE  # it is told late, and the incident is over by then
    tick(store, [again(store, flapping.rule_id)], NOON + 25 * MINUTE)
    chart = picture.charted(store, msgspec.structs.replace(flapping, reason=reason, at=late))
    assert chart.fired == tuple((NOON + n * MINUTE, NOON + (n + 5) * MINUTE) for n in (0, 10, 20))
    assert [at for at, value in known(chart)[:-1]] == [NOON, NOON + 10 * MINUTE, NOON + 20 * MINUTE]
    assert (chart.points[0][0], chart.points[-1][0]) == (late - HOUR, late)
    assert picture.words(chart).endswith("threshold above $1; it fired 3 times")
    assert picture.png(chart)


def test_of_a_day_of_flapping_no_minute_is_left_out(store):
    when = {"metric": "cost", "window": "1m", "op": ">", "value": 1}
    rule = watch(store, flapping={"count": 3, "within": "1d"}, when=when)
    times = [NOON - n * HOUR for n in (20, 9, 0)]
    for at in times:
        spend(store, at - SECOND, "2")
        tick(store, [rule], at)
        tick(store, [rule], at + MINUTE)
    chart = picture.charted(store, said_of(store)[-2])
    assert [begun for begun, _ in chart.fired] == times
    assert sorted({at for at, _ in known(chart)}) == times
    assert chart.points[0][0] == NOON - 22 * HOUR


@pytest.mark.parametrize("reason", ["first", "fallback"])
def test_what_does_not_flap_is_shown_as_ever_on_a_fallback_too(store, reason):
    first = flapped(store)[0]
    chart = picture.charted(store, msgspec.structs.replace(first, reason=reason))
    assert (chart.fired, chart.fires_since, chart.points[0][0]) == ((), NOON, NOON - HOUR)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"reason": "new_groups"}, True),
        ({"reason": "repeat"}, True),
        ({"reason": "escalation"}, True),
        ({"reason": "flapping"}, True),
        ({"reason": "fallback"}, True),
        ({"status": NoticeStatus.RESOLVED, "reason": "fallback"}, False),
        ({"reason": "digest"}, False),
        ({"status": NoticeStatus.RESOLVED, "reason": "resolved"}, False),
        ({"status": NoticeStatus.MESSAGE}, False),
        ({"rule_id": ""}, False),
    ],
    ids=[
        "first",
        "new groups",
        "repeat",
        "escalation",
        "flapping",
        "fallback",
        "a fallback's end",
        "digest",
        "resolved",
        "message",
        "no rule",
    ],
)
def test_only_what_fires_is_shown(changes, expected):
    assert picture.wanted(msgspec.structs.replace(FIRING, **changes)) is expected


async def test_a_rule_that_is_gone_and_a_store_that_is_slow_or_away_leave_the_mail_without(store, monkeypatch):
    assert await picture.picture(store, notice_of(watch(store), rule_id="gone")) is None
    notice = notice_of(watch(store))
    hanging = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(picture, "charted", lambda *_: asyncio.run_coroutine_threadsafe(hanging.wait(), loop).result())
    assert await picture.picture(store, notice, patience_s=0.05) is None
    hanging.set()
    monkeypatch.undo()
    other = FlightStore(store._location, "no token")
    assert await picture.picture(other, notice) is None
    assert (await picture.picture(store, notice)).png


def mailing(store, box, name, port):
    """An email channel."""
    fields = {"host": "127.0.0.1", "port": port, "security": "plain", "sender": "a@example.com", "to": ["b@x.org"]}
    document = {"name": name, "kind": "email", "config": {**fields, "allow_private": True}}
    channel_store.create(store, box, document, by="ada")


@asynccontextmanager
async def told(store, home, port, notice, broken=None):
    """A mail about the notice is sent by a real sender, after another channel at the port `broken` has failed."""
    box = SecretBox(home)
    mailing(store, box, "mail", port)
    names = ["mail"]
    if broken is not None:
        mailing(store, box, "broken", broken)
        names.insert(0, "broken")
    row = outbox.queued(new_id(), notice, channel=names[0], fallback=names[1:], at=datetime.now(UTC))
    store.transact([notifications.adding(row)])
    ends = [*[("broken", "failed")] * (broken is not None), ("mail", "sent")]
    async with HttpSender() as http:
        sender = Sender(store, box, Wires(store, http, Hub()))
        running = asyncio.ensure_future(sender.run())  # noqa: TID251 - a test's own task
        try:
            await until(
                lambda: [one for one in rows(store, "notifications", "channel", "status") if one in ends] == ends
            )
            yield
        finally:
            await sender.stop(grace_s=2)
            await running


async def test_the_mail_has_the_picture_beside_its_html_and_points_to_it(store, home, serve):  # noqa: F811
    mailbox = Mailbox()
    spend(store, NOON - 20 * MINUTE, "2")
    async with told(store, home, serve(mailbox), notice_of(watch(store))):
        (mail,) = mailbox.mails
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
    ]
    *_, html, image = mail.walk()
    assert image.get_content().startswith(b"\x89PNG")
    assert image.get_content_disposition() == "inline"
    cid = image["Content-ID"]
    assert cid.startswith("<chart-")
    assert f'src="cid:{cid[1:-1]}"' in html.get_content()
    assert 'alt="Cost over the last 5 minutes, 2026-03-01 11:00 to 2026-03-01 12:00 UTC: $3.00 at' in html.get_content()
    assert len(bytes(mail)) < 60_000


async def test_a_mail_in_place_of_a_channel_that_failed_has_the_same_picture(store, home, serve):  # noqa: F811
    refused, mailbox = Mailbox("550 no such user"), Mailbox()
    spend(store, NOON - 20 * MINUTE, "2")
    async with told(store, home, serve(mailbox), notice_of(watch(store)), broken=serve(refused)):
        (first,), (instead,) = refused.mails, mailbox.mails
    images = [
        [part.get_content() for part in mail.walk() if part.get_content_type() == "image/png"]
        for mail in (first, instead)
    ]
    assert len(images[1]) == 1
    assert images[0] == images[1]
    assert rows(store, "notifications", "channel", "reason") == [("broken", "first"), ("mail", "fallback")]


async def test_a_mail_about_flapping_says_in_its_picture_how_often_it_fired(store, home, serve):  # noqa: F811
    mailbox = Mailbox()
    async with told(store, home, serve(mailbox), flapped(store)[-1]):
        (mail,) = mailbox.mails
    assert "It comes and goes, 3 times in 30 minutes" in mail.get_body(("plain",)).get_content()
    (image,) = (part for part in mail.walk() if part.get_content_type() == "image/png")
    assert image.get_content().startswith(b"\x89PNG")
    assert "threshold above $1; it fired 3 times" in mail.get_body(("html",)).get_content()


async def test_a_picture_that_cannot_be_made_costs_no_mail(store, home, serve, monkeypatch):  # noqa: F811
    def fails(*_: object) -> None:
        raise RuntimeError("no paint")

    monkeypatch.setattr(picture, "charted", fails)
    mailbox = Mailbox()
    async with told(store, home, serve(mailbox), notice_of(watch(store))):
        (mail,) = mailbox.mails
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert "cid:" not in mail.get_body(("html",)).get_content()
    assert rows(store, "delivery_attempts", "error") == [("",)]
