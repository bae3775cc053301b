import asyncio
import json
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from aiohttp import web

from data.errors import StoreError
from data.queries import inbox, notifications
from data.store import Statement
from engine import channel_store, delivery, outbox, sample, trial
from engine.audit import new_id
from engine.channels import CHANNELS
from engine.channels.channel import AT_ONCE
from engine.channels.http import HttpSender
from engine.delivery import CLAIM, Sender, attempt_now
from engine.errors import NotFound, Refused, RuleError, StaleVersion
from engine.inbox import Hub, Wires
from engine.secrets import MASK, SecretBox
from tests.engine.receivers import FIRING, receiving, until
from tests.engine.traffic import one, rows


class Clock:
    """The present, set forward by hand."""

    def __init__(self, ahead: timedelta = timedelta(0)) -> None:
        self.ahead = ahead

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def box(home):
    return SecretBox(home)


@pytest.fixture
def clock():
    return Clock()


def hook(store, box, url, name="hook", **config):
    document = {"name": name, "kind": "webhook", "config": {"url": url, "allow_private": True, **config}}
    return channel_store.create(store, box, document, by="ada")


def queue(store, channel="hook", *, at=None, **options):
    notice = msgspec.structs.replace(FIRING, **options.pop("notice", {}))
    row = outbox.queued(new_id(), notice, channel=channel, at=at or datetime.now(UTC), **options)
    store.transact([notifications.adding(row)])
    return row.id


@asynccontextmanager
async def sending(store, box, clock, hub=None, **options):
    async with HttpSender(timeout_s=options.get("timeout_s", 5.0)) as http:
        sender = Sender(store, box, Wires(store, http, hub or Hub()), now=clock, **options)
        running = asyncio.ensure_future(sender.run())  # noqa: TID251 - a test's own task
        try:
            yield sender
        finally:
            await sender.stop(grace_s=2)
            await running


def status(store, notification_id):
    row = notifications.by_id(store, notification_id)
    assert row
    return row.status


async def test_a_notice_arrives_and_its_attempt_is_on_record(store, box, clock):
    async with receiving((202, {}, "thanks")) as receiver:
        hook(store, box, receiver.url)
        sent = queue(store)
        async with sending(store, box, clock):
            await until(lambda: status(store, sent) == "sent")
    assert receiver.got[0].headers["webhook-id"] == sent
    attempt = notifications.attempts(store, [sent]).to_dicts()[0]
    assert (attempt["result"], attempt["status"], attempt["answer"], attempt["attempt"]) == ("sent", 202, "thanks", 1)
    assert attempt["duration_ms"] > 0


async def test_links_are_filled_in_where_a_notice_was_made_without_them(store, box, clock):
    async with receiving() as receiver:
        hook(store, box, receiver.url)
        queue(store, notice={"alert_url": "", "rule_url": ""})
        async with sending(store, box, clock, public_url="http://app:8501/"):
            await until(lambda: receiver.got)
    data = json.loads(receiver.got[0].body)["data"]
    assert (data["alert_url"], data["rule_url"]) == ("http://app:8501/alerts?q=a-1", "http://app:8501/rules?rule=r-1")


async def test_a_failed_send_is_repeated_later_with_the_same_id(store, box, clock):
    async with receiving(500, None, (429, {"Retry-After": "40"}, ""), 200) as receiver:
        hook(store, box, receiver.url)
        sent = queue(store)
        async with sending(store, box, clock) as sender:
            for tries in (1, 2, 3):
                await until(
                    lambda tries=tries: len(notifications.attempts(store, [sent]).filter(result="retry")) == tries
                )
                row = notifications.by_id(store, sent)
                assert row.due_at > clock()
                clock.ahead += row.due_at - clock() + timedelta(milliseconds=10)
                sender.wake()
            await until(lambda: status(store, sent) == "sent")
    assert [got.headers["webhook-id"] for got in receiver.got] == [sent] * 4
    made = notifications.attempts(store, [sent])
    assert made["result"].to_list() == ["retry", "retry", "retry", "sent"]
    assert made["attempt"].to_list() == [1, 2, 3, 4]


async def test_a_refused_notice_goes_to_the_fallback_channels_in_order(store, box, clock):
    async with receiving(400) as bad, receiving(403) as worse, receiving() as good:
        for name, receiver in (("hook", bad), ("second", worse), ("third", good)):
            hook(store, box, receiver.url, name)
        first = queue(store, fallback=["second", "third"])
        async with sending(store, box, clock):
            await until(
                lambda: (
                    len(good.got) == 1 and not store.sql("SELECT 1 FROM notifications WHERE status = 'pending'").height
                )
            )
    assert rows(store, "notifications", "channel", "reason", "status") == [
        ("hook", "first", "failed"),
        ("second", "fallback", "failed"),
        ("third", "fallback", "sent"),
    ]
    assert rows(store, "notifications", "fallback_of")[1] == (first,)
    assert (len(bad.got), len(worse.got), len(good.got)) == (1, 1, 1)


async def test_when_nobody_can_be_reached_the_app_says_so(store, box, clock):
    async with receiving(400) as bad:
        hook(store, box, bad.url)
        queue(store)
        async with sending(store, box, clock):
            await until(lambda: rows(store, "inbox", "title"))
    assert rows(store, "inbox", "title") == [("[MESSAGE] [HIGH] A notification was not delivered",)]


async def test_a_receiver_that_is_gone_disables_its_channel(store, box, clock):
    async with receiving(410) as gone:
        made = hook(store, box, gone.url)
        queue(store)
        queue(store)
        async with sending(store, box, clock):
            await until(lambda: rows(store, "notifications", "status") == [("failed",), ("failed",)])
    assert not channel_store.get(store, made.id).enabled
    assert channel_store.get(store, made.id).disabled_reason == "answered 410"
    assert "was disabled" in rows(store, "inbox", "title")[0][0]


async def test_a_channel_that_hangs_delays_no_other(store, box, clock):
    async with receiving("hang") as hung, receiving() as lively:
        hook(store, box, hung.url, "hung")
        hook(store, box, lively.url, "lively")
        for _ in range(20):
            queue(store, "hung", notice={"alert_id": new_id()})
        last = queue(store, "lively")
        async with sending(store, box, clock, timeout_s=120.0):
            await until(lambda: status(store, last) == "sent")
            assert len(hung.got) == AT_ONCE
            hung.released.set()


async def test_many_receivers_that_hang_leave_connections_for_others():
    async with receiving("hang") as hung, receiving() as lively, HttpSender(timeout_s=120) as http:

        async def post(url):
            return await http.post(url, body=b"", headers={}, allow_private=True)

        waiting = [asyncio.ensure_future(post(hung.url)) for _ in range(150)]  # noqa: TID251 - a test's own tasks
        await until(lambda: len(hung.got) == len(waiting))
        async with asyncio.timeout(60):
            assert (await post(lively.url)).status == 200
        hung.released.set()
        await asyncio.gather(*waiting)


async def test_a_burst_to_a_kind_that_bears_few_at_once_waits_its_turn(store, box, clock):
    under_way, most = 0, 0

    async def slowly(_):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.1)  # a receiver's own time
        under_way -= 1
        return web.Response()

    async with receiving(slowly) as receiver:
        form = {"url": receiver.url.replace("http:", "json:"), "allow_private": True}
        channel_store.create(store, box, {"name": "other", "kind": "apprise", "config": form}, by="ada")
        ids = [queue(store, "other", notice={"alert_id": new_id()}) for _ in range(20)]
        async with sending(store, box, clock):
            await until(lambda: not notifications.backlog(store, clock())["pending"])
    assert notifications.attempts(store, ids)["result"].to_list() == ["sent"] * 20
    assert 1 < most <= CHANNELS["apprise"].at_once


async def test_a_channel_that_was_edited_is_used_as_it_is_now(store, box, clock):
    async with receiving() as old, receiving() as new:
        made = hook(store, box, old.url)
        first = queue(store)
        async with sending(store, box, clock) as sender:
            await until(lambda: status(store, first) == "sent")
            channel_store.update(store, box, made.id, {"config": {**made.shown, "url": new.url}}, by="ada")
            second = queue(store)
            sender.wake()
            await until(lambda: status(store, second) == "sent")
            channel_store.update(store, box, made.id, {"enabled": False}, by="ada")
            third = queue(store)
            sender.wake()
            await until(lambda: status(store, third) == "failed")
    assert [got.headers["webhook-id"] for got in old.got] == [first]
    assert [got.headers["webhook-id"] for got in new.got] == [second]


async def test_a_flood_is_sent_once_in_groups_and_all_of_it(store, box, clock):
    async with receiving() as receiver:
        hook(store, box, receiver.url)
        ids = [queue(store, notice={"alert_id": new_id()}) for _ in range(notifications.DUE_EACH + 20)]
        async with sending(store, box, clock):
            await until(lambda: not notifications.backlog(store, clock())["pending"])
    assert sorted(got.headers["webhook-id"] for got in receiver.got) == sorted(ids)
    made = notifications.attempts(store, ids)
    assert set(made["result"]) == {"sent"}
    # those of one transaction begin at one time
    assert made["started_at"].n_unique() < len(ids) / 2


async def test_a_later_notice_of_an_incident_never_overtakes_an_earlier_one(store, box, clock):
    async with receiving(500, 200) as receiver:
        hook(store, box, receiver.url)
        first, second = queue(store), queue(store, notice={"reason": "resolved"})
        async with sending(store, box, clock) as sender:
            await until(lambda: notifications.attempts(store, [first]).filter(result="retry").height)
            clock.ahead += timedelta(minutes=1)
            sender.wake()
            await until(lambda: status(store, second) == "sent")
    assert [got.headers["webhook-id"] for got in receiver.got] == [first, first, second]


async def test_of_two_senders_one_sends(store, box, clock):
    async with receiving() as receiver:
        hook(store, box, receiver.url)
        ids = [queue(store, notice={"alert_id": new_id()}) for _ in range(12)]
        async with sending(store, box, clock), sending(store, box, clock):
            await until(lambda: all(status(store, n) == "sent" for n in ids))
    assert sorted(got.headers["webhook-id"] for got in receiver.got) == sorted(ids)


async def test_a_claim_that_was_never_settled_is_taken_over_with_the_same_id(store, box, clock):
    async with receiving() as receiver:
        hook(store, box, receiver.url)
        lost = queue(store)
        row = notifications.by_id(store, lost)
        dead = notifications.AttemptRow(new_id(), lost, "hook", 1, clock())
        store.transact(notifications.claiming(row, dead, until=clock() + CLAIM))
        assert notifications.due(store, clock()) == []
        async with sending(store, box, clock) as sender:
            clock.ahead += CLAIM + timedelta(seconds=1)
            sender.wake()
            await until(lambda: status(store, lost) == "sent")
    assert [got.headers["webhook-id"] for got in receiver.got] == [lost]
    assert notifications.attempts(store, [lost])["result"].to_list() == ["unknown", "sent"]


async def test_the_attempt_is_recorded_before_anything_is_sent(store, box, clock):
    seen = []

    class Spy:
        async def post(self, *_, **__):
            seen.extend(rows(store, "delivery_attempts", "result", "attempt"))
            raise RuntimeError("a fault of the channel itself")

    hook(store, box, "http://127.0.0.1:9/")
    sent = queue(store)
    await attempt_now(store, box, Spy(), notifications.by_id(store, sent), now=clock)
    assert seen == [("sending", 1)]
    assert rows(store, "delivery_attempts", "result") == [("retry",)]


async def test_secrets_are_neither_stored_in_the_clear_nor_shown_nor_kept_from_an_answer(store, box, clock, home):
    echo = (500, {}, "you sent Bearer hush-hush-token, and hush-hush-token alone" + " " * 434 + "hush-hush-token")
    async with receiving(echo) as receiver:
        made = hook(store, box, receiver.url, headers={"Authorization": "Bearer hush-hush-token"})
        sent = queue(store)
        async with sending(store, box, clock):
            await until(lambda: notifications.attempts(store, [sent]).filter(result="retry").height)
    everything = json.dumps(
        [
            store.sql(f"SELECT * FROM {t}").to_dicts()
            for t in ("channels", "delivery_attempts", "audit_log", "notifications")
        ],
        default=str,
    )
    assert "hush" not in everything
    assert made.new_secret.removeprefix("whsec_") not in everything
    assert channel_store.get(store, made.id).shown["headers"] == MASK
    assert (home / "secret.key").stat().st_mode & 0o777 == 0o600


def test_a_masked_secret_sent_back_keeps_the_stored_one(store, box):
    made = hook(store, box, "https://example.com/a", headers={"X-A": "one"})
    changed = channel_store.update(
        store, box, made.id, {"config": {**made.shown, "url": "https://example.com/b"}}, by="ada"
    )
    config, _ = channel_store.config_of(channel_store.by_name(store, "hook"), box)
    assert str(config.url) == changed.shown["url"] == "https://example.com/b"
    assert config.secret == made.new_secret
    assert config.headers == {"X-A": "one"}


def test_channels_are_told_apart_by_name_and_kept_while_in_use(store, box):
    made = hook(store, box, "https://example.com/")
    with pytest.raises(StaleVersion):
        hook(store, box, "https://example.com/")
    with pytest.raises(RuleError) as caught:
        channel_store.create(store, box, {"name": "x", "kind": "webhook", "config": {"url": "nonsense"}}, by="ada")
    assert caught.value.faults[0].path == "config.url"
    with pytest.raises(RuleError):
        channel_store.create(store, box, {"name": "x", "kind": "pigeon"}, by="ada")
    with pytest.raises(Refused):
        channel_store.delete(store, "in-app", by="ada")
    channel_store.delete(store, made.id, by="ada")
    with pytest.raises(NotFound):
        channel_store.get(store, made.id)


async def test_a_message_in_the_app_is_stored_once_and_pushed(store, box, clock):
    hub = Hub()
    with hub.listening() as heard:
        sent = queue(store, "in-app")
        async with sending(store, box, clock, hub):
            await until(lambda: status(store, sent) == "sent")
        assert heard.get_nowait()["title"] == "[FIRING] [HIGH] High cost (model=gpt-5)"
    assert rows(store, "inbox", "id", "alert_id") == [(sent, "a-1")]
    assert inbox.unread(store) == 1
    store.transact([inbox.reading(None)])
    assert inbox.unread(store) == 0


async def test_an_outbox_that_can_be_read_but_not_written_is_not_tried_without_a_pause(store, box, clock, monkeypatch):
    looks = []
    due = notifications.due

    def refuse(_):
        raise StoreError("the disk is full")

    queue(store)
    monkeypatch.setattr(store, "transact", refuse)
    monkeypatch.setattr(notifications, "due", lambda *args: looks.append(time.monotonic()) or due(*args))
    async with sending(store, box, clock):
        await until(lambda: len(looks) >= 3)
    assert looks[2] - looks[0] > 1.5 * delivery.POLL_S


async def test_the_sender_outlives_an_outbox_that_makes_no_sense(store, box, clock, monkeypatch):
    due, answers = notifications.due, iter([TypeError("made up")])

    def nonsense_once(*args):
        for error in answers:
            raise error
        return due(*args)

    monkeypatch.setattr(notifications, "due", nonsense_once)
    async with receiving() as receiver:
        hook(store, box, receiver.url)
        sent = queue(store)
        async with sending(store, box, clock):
            await until(lambda: status(store, sent) == "sent")


async def test_a_test_is_a_real_send_with_the_receivers_answer(store, box):
    async with receiving((200, {}, "hello back")) as receiver:
        made = hook(store, box, receiver.url)
        done = await trial.send(store, box, Hub(), made.id, sample.of_channel(datetime.now(UTC)), by="ada")
    assert (done.delivered, done.status, done.answer) == (True, 200, "hello back")
    assert json.loads(receiver.got[0].body)["data"]["test"] is True
    assert rows(store, "notifications", "reason", "status") == [("test", "sent")]


async def test_a_test_that_fails_is_not_repeated(store, box):
    async with receiving(500) as receiver:
        made = hook(store, box, receiver.url)
        done = await trial.send(store, box, Hub(), made.id, sample.of_channel(datetime.now(UTC)), by="ada")
    assert (done.delivered, done.status, done.answer) == (False, 500, "said 500")
    assert one(rows(store, "notifications", "status")) == ("failed",)
    assert rows(store, "inbox", "id") == []


async def test_a_sender_that_is_stopped_leaves_its_claim_to_run_out(store, box, clock):
    async with receiving("hang") as hung:
        hook(store, box, hung.url)
        sent = queue(store)
        async with HttpSender() as http:
            sender = Sender(store, box, Wires(store, http, Hub()), now=clock)
            running = asyncio.ensure_future(sender.run())  # noqa: TID251 - a test's own task
            await until(lambda: hung.got)
            await sender.stop(grace_s=0.1)
            await running
    assert status(store, sent) == "pending"
    assert [row.id for row in notifications.due(store, clock() + CLAIM + timedelta(seconds=1))] == [sent]


async def test_a_notification_that_keeps_killing_its_sender_is_given_up(store, box, clock):
    async with receiving() as receiver:
        hook(store, box, receiver.url)
        poison = queue(store)
        store.transact([Statement("UPDATE notifications SET attempts = ? WHERE id = ?", (outbox.MOST_CLAIMS, poison))])
        async with sending(store, box, clock):
            await until(lambda: status(store, poison) == "failed")
    assert receiver.got == []
    assert len(rows(store, "inbox", "id")) == 1


async def _speak_latin_1(reader, writer):
    """A mail server that answers in Latin-1."""
    said = {b"EHLO": "250 grüß Gott", b"DATA": "354 los", b"QUIT": "221 tschüß"}
    writer.write("220 grüß Gott\r\n".encode("latin-1"))
    while line := await reader.readline():
        writer.write(f"{said.get(line[:4].upper(), '250 angenommen für später')}\r\n".encode("latin-1"))
        if line.startswith(b"DATA"):
            await reader.readuntil(b"\r\n.\r\n")
            writer.write("250 angenommen für später\r\n".encode("latin-1"))
        await writer.drain()
    writer.close()


async def test_an_answer_that_is_no_utf_8_is_on_record_and_the_mail_goes_once(store, box, clock):
    server = await asyncio.start_server(_speak_latin_1, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    form = {"host": "127.0.0.1", "port": port, "security": "plain", "sender": "a@example.com", "to": ["b@example.com"]}
    mail = {"name": "mail", "kind": "email", "config": {**form, "allow_private": True}}
    channel_store.create(store, box, mail, by="ada")
    sent = queue(store, "mail")
    async with server, sending(store, box, clock):
        await until(lambda: status(store, sent) == "sent")
    assert notifications.attempts(store, [sent])["answer"].to_list() == ["angenommen f?r sp?ter"]
