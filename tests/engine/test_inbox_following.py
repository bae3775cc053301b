"""Whoever listens to a worker hears of what others write into the inbox, once, and in the order it was written."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from data.errors import StoreUnavailable
from data.queries import inbox
from data.queries.inbox import InboxRow
from data.store import Statement
from data.tasks import Tasks
from engine.audit import new_id
from engine.inbox import Hub, shown
from engine.inbox_following import Following
from tests.engine.receivers import free_port, until
from tests.engine.test_worker import health, worker
from tests.engine.traffic import NOON, rows

LOOK_S = 0.02


def row(title, message_id=""):
    return InboxRow(message_id or new_id(), NOON, title, "", "info", "message")


def post(store, *titles):
    made = [row(title) for title in titles]
    store.transact([inbox.posting(each) for each in made])
    return made


@asynccontextmanager
async def following(store, hub=None):
    tasks = Tasks()
    try:
        yield Following(hub or Hub(), lambda: store, look_s=LOOK_S), tasks
    finally:
        await tasks.stop()


async def heard(queue, last):
    """Titles of what comes up to and with the one named."""
    titles = []
    while not titles or titles[-1] != last:
        message = await asyncio.wait_for(queue.get(), 60)
        titles.append(message.get("title", f"unread {message.get('unread')}"))
    return titles


async def test_what_was_there_before_is_not_told_and_what_comes_is_told_in_order(store):
    post(store, "old")
    async with following(store) as (follow, tasks), follow.listening(tasks) as queue:
        post(store, "one")
        post(store, "two", "three")
        assert await heard(queue, "three") == ["one", "two", "three"]
        post(store, "four")
        assert await heard(queue, "four") == ["four"]


async def test_what_this_worker_writes_is_told_once_whichever_is_faster(store):
    hub = Hub()
    async with following(store, hub) as (follow, tasks), follow.listening(tasks) as queue:
        (mine,) = post(store, "told first")
        shown(hub, mine)
        post(store, "of another")
        assert await heard(queue, "of another") == ["told first", "of another"]
        (mine,) = post(store, "seen first")
        assert await heard(queue, "seen first") == ["seen first"]
        shown(hub, mine)
        post(store, "end")
        assert await heard(queue, "end") == ["end"]


async def test_a_late_message_whose_id_and_time_are_old_is_told_too(store):
    old = InboxRow("0" * 32, datetime.now(UTC) - timedelta(days=9), "delivered at last", "", "info", "firing")
    post(store, "new")
    async with following(store) as (follow, tasks), follow.listening(tasks) as queue:
        store.transact([inbox.posting(old)])
        store.transact([inbox.posting(old)])
        post(store, "end")
        assert await heard(queue, "end") == ["delivered at last", "end"]


async def test_of_several_listeners_each_is_told_once_and_one_that_leaves_ends_nothing_for_the_others(store):
    async with following(store) as (follow, tasks), AsyncExitStack() as stack:
        first = await stack.enter_async_context(follow.listening(tasks))
        async with follow.listening(tasks) as second:
            post(store, "both")
            assert await heard(second, "both") == ["both"]
        post(store, "one")
        assert await heard(first, "one") == ["both", "one"]


async def test_the_store_is_looked_at_only_while_somebody_listens(store, monkeypatch):
    looks, newest = [], inbox.newest

    def counted(asked):
        looks.append(1)
        return newest(asked)

    monkeypatch.setattr(inbox, "newest", counted)
    async with following(store) as (follow, tasks):
        assert not looks
        async with follow.listening(tasks):
            await until(lambda: len(looks) > 3)
        await until(lambda: not tasks._tasks)
        before = len(looks)
        post(store, "while nobody listens")
        async with follow.listening(tasks) as queue:
            assert len(looks) == before + 1
            post(store, "again")
            assert await heard(queue, "again") == ["again"]


async def test_a_store_that_was_away_is_followed_again_without_a_gap(store, monkeypatch):
    away, newest = [], inbox.newest

    def asked(of):
        if away:
            away.append(1)
            raise StoreUnavailable("away")
        return newest(of)

    monkeypatch.setattr(inbox, "newest", asked)
    async with following(store) as (follow, tasks), follow.listening(tasks) as queue:
        away.append(1)
        post(store, "meanwhile")
        await until(lambda: len(away) > 3)
        away.clear()
        assert await heard(queue, "meanwhile") == ["meanwhile"]


async def test_that_others_have_read_is_told_and_ones_own_reading_not_twice(store):
    hub = Hub()
    async with following(store, hub) as (follow, tasks), follow.listening(tasks) as queue:
        post(store, "one", "two")
        store.transact([inbox.reading(None)])
        assert await heard(queue, "unread 0") == ["one", "two", "unread 0"]
        post(store, "three")
        assert await heard(queue, "three") == ["three"]
        store.transact([inbox.reading(None)])
        if hub.heard_read(inbox.newest(store).read_at):
            hub.publish({"type": "unread", "unread": 0})
        post(store, "end")
        assert await heard(queue, "end") == ["unread 0", "end"]


def made_by(behind_s, title):
    """A message of a worker whose clock is so far behind, or ahead."""
    at = datetime.now(UTC) - timedelta(seconds=behind_s)
    ms = int(at.timestamp() * 1000)
    return InboxRow(f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7{new_id()[15:]}", at, title, "", "info", "firing")


async def test_of_workers_whose_clocks_differ_nothing_is_missed_and_nothing_told_twice(store):
    async with following(store) as (follow, tasks), follow.listening(tasks) as queue:
        titles = [f"{number} of {who}" for number in range(3) for who in ("slow", "right", "fast")]
        for title in titles:
            behind_s = {"slow": 30, "right": 0, "fast": -30}[title.split()[-1]]
            store.transact([inbox.posting(made_by(behind_s, title))])
            if title.endswith("right"):
                assert (await heard(queue, title))[-1] == title  # those before are known by now
        ids = [row["id"] for row in inbox.messages(store).to_dicts()]
        assert len(ids) == len(titles)
        post(store, "end")
        assert await heard(queue, "end") == [titles[-1], "end"]


async def test_nothing_is_missed_where_the_stores_clock_was_set_back(store):
    post(store, "old")
    store.transact([Statement("UPDATE inbox SET posted_at = posted_at + INTERVAL 1 HOUR, read_at = posted_at")])
    async with following(store) as (follow, tasks), follow.listening(tasks) as queue:
        post(store, "one", "two")
        post(store, "three")
        assert await heard(queue, "three") == ["one", "two", "three"]
        store.transact([Statement("UPDATE inbox SET read_at = posted_at WHERE title = 'three'")])
        assert await heard(queue, "unread 2") == ["unread 2"]
        store.transact([inbox.reading(None)])
        assert await heard(queue, "unread 0") == ["unread 0"]


async def test_that_messages_were_read_one_after_the_other_is_told_each_time_by_the_stores_clock(store):
    async with following(store) as (follow, tasks), follow.listening(tasks) as queue:
        first, second = post(store, "one", "two")
        for message, told in ((first, ["one", "two", "unread 1"]), (second, ["unread 0"])):
            store.transact([inbox.reading([message.id])])
            assert await heard(queue, told[-1]) == told
    read = sorted(at for (at,) in rows(store, "inbox", "read_at"))
    assert read[0] < read[1] <= datetime.now(UTC)


@pytest.mark.slow
async def test_listeners_of_two_workers_on_one_store_hear_the_same(store, home):
    ports = free_port(), free_port()
    with worker(home, ports[0]), worker(home, ports[1]):
        await until(lambda: all(health(port)["status"] == "ok" for port in ports))
        async with aiohttp.ClientSession() as session:
            bases = [f"http://127.0.0.1:{port}" for port in ports]
            one, other = [await session.ws_connect(f"{base}/ws/notifications") for base in bases]
            for socket in (one, other):
                assert await socket.receive_json(timeout=60) == {"type": "unread", "unread": 0}
            ids = []
            for base in (*bases, *bases):
                path = f"{base}/api/notifications/channels/in-app/test"
                async with session.post(path, json={}) as answer:
                    ids.append((await answer.json())["notification_id"])
            post(store, "of another program")
            for socket in (one, other):
                got = [await socket.receive_json(timeout=60) for _ in range(5)]
                assert sorted(message["id"] for message in got[:4]) == sorted(ids)
                assert got[4]["title"] == "of another program"
            async with session.post(f"{bases[0]}/api/notifications/inbox/read", json={}) as answer:
                assert answer.status == 200
            for socket in (one, other):
                assert await socket.receive_json(timeout=60) == {"type": "unread", "unread": 0}
                await socket.close()
