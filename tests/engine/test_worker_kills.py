"""A worker killed at any point of evaluate, commit, claim, send and record loses nothing and tells nothing twice.

Each point is tried in turn; `WORKER_KILLS=1000` goes over them again and again until there were so many.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import cycle, islice
from typing import Any

import pytest

from data.queries import leases, notifications
from data.store import Statement
from engine.commit import Fenced
from engine.delivery import CLAIM
from engine.episode import Watched
from engine.evaluator import LEASE
from engine.secrets import SecretBox
from engine.tick import tick
from tests.engine import dying_worker
from tests.engine.receivers import Receiver, receiving, until
from tests.engine.test_delivery import Clock, hook, sending
from tests.engine.traffic import MINUTE, NOON, SECOND, rows, spend, watch
from tests.forks import FORKS

pytestmark = pytest.mark.slow

TABLES = (
    "alert_instances",
    "alerts",
    "alert_events",
    "notifications",
    "rate_buckets",
    "delivery_attempts",
    "inbox",
    "leases",
)
#: Notifications that are claimed, sent and recorded together.
GROUP = 6


async def lived(home: Any, at: Any, point: int = 0) -> list[str] | int:
    """What points there were, or what the worker died of."""
    told = FORKS.SimpleQueue()
    process = FORKS.Process(target=dying_worker.work, args=(str(home), at, point, told))
    process.start()
    await asyncio.to_thread(process.join, 60)
    assert process.exitcode is not None, "the worker hangs"
    if process.exitcode:
        return process.exitcode
    passed: list[str] = told.get()
    return passed


def anew(store: Any, receiver: Receiver) -> None:
    """As if nothing had happened yet."""
    store.transact([Statement(f"DELETE FROM {table}") for table in TABLES])
    receiver.got.clear()


def points(passed: list[str]) -> Iterator[tuple[int, str]]:
    """The points to die at: all, or as many as were asked for."""
    every = list(enumerate(passed, 1))
    asked = int(os.environ.get("WORKER_KILLS", "0"))
    return islice(cycle(every), asked) if asked else iter(every)


async def test_killed_anywhere_and_started_again_each_channel_is_told_once(store, home):
    async with receiving() as receiver:
        hook(store, SecretBox(home), receiver.url)
        watch(store, notify=["hook", "in-app"])
        spend(store, NOON - SECOND, "2")
        passed = await lived(home, NOON)
        assert isinstance(passed, list)
        assert passed.count("after post") == passed.count("after show") == 1
        check(store, receiver, most_sent=1)
        runs = deaths = 0
        for point, name in points(passed):
            anew(store, receiver)
            died = await lived(home, NOON, point)
            runs, deaths = runs + 1, deaths + (died == -signal.SIGKILL)
            # what was sent while its answer was not on record is sent again, with the same id
            uncertain = ("hook", None) in rows(store, "delivery_attempts", "channel", "finished_at")
            assert isinstance(await lived(home, NOON + MINUTE), list), name
            check(store, receiver, most_sent=2 if uncertain else 1)
        # a worker that was to die within its last call may have ended before
        assert deaths > 0.9 * runs


def check(store: Any, receiver: Receiver, *, most_sent: int) -> None:
    assert rows(store, "alerts", "status") == [("firing",)]
    assert [line[0] for line in rows(store, "alert_events", "to_state")] == ["firing"]
    told = {channel: (id_, status) for id_, channel, status in rows(store, "notifications", "id", "channel", "status")}
    assert {channel: status for channel, (_, status) in told.items()} == {"hook": "sent", "in-app": "sent"}
    assert len(rows(store, "notifications", "id")) == 2
    assert [id_ for (id_,) in rows(store, "inbox", "id")] == [told["in-app"][0]]
    assert {got.headers["webhook-id"] for got in receiver.got} == {told["hook"][0]}
    results = rows(store, "delivery_attempts", "channel", "result")
    *lost, last = [result for channel, result in results if channel == "hook"]
    assert (set(lost) <= {"unknown"}, last) == (True, "sent")
    assert 1 <= len(receiver.got) <= most_sent


async def test_killed_with_a_group_of_sends_under_way_each_arrives_under_its_id_alone(store, home):
    async with receiving() as receiver:
        hook(store, SecretBox(home), receiver.url)
        for number in range(GROUP):
            watch(store, name=f"rule {number}", notify=["hook"])
        spend(store, NOON - SECOND, "2")
        passed = await lived(home, NOON)
        assert isinstance(passed, list)
        assert passed.count("after post") == GROUP
        # from the first claim on: what comes before is the other test's
        first = passed.index("before post")
        for point in range(first - 3, len(passed), 5):
            anew(store, receiver)
            await lived(home, NOON, point)
            open_ones = [at for (at,) in rows(store, "delivery_attempts", "finished_at")].count(None)
            assert isinstance(await lived(home, NOON + MINUTE), list), passed[point - 1]
            ids = [id_ for (id_,) in rows(store, "notifications", "id")]
            assert [status for (status,) in rows(store, "notifications", "status")] == ["sent"] * GROUP
            got = [each.headers["webhook-id"] for each in receiver.got]
            assert set(got) == set(ids)
            assert len(got) <= GROUP + open_ones


async def test_two_workers_with_clocks_apart_and_a_stolen_lease_tell_nothing_twice(store, home):
    async with receiving() as receiver:
        hook(store, SecretBox(home), receiver.url)
        rules = [watch(store, name=f"rule {number}", notify=["hook"]) for number in range(8)]
        spend(store, NOON - SECOND, "2")
        old = lease(store, "old", NOON)
        new = lease(store, "new", NOON + MINUTE)  # its clock is ahead: to it the lease has run out
        ticking = [asyncio.to_thread(_ticked, store, rules, token, NOON) for token in (old, new)]
        assert await asyncio.gather(*ticking) == ["fenced", "evaluated"]
        # both may send; one takes the other's claims for run out
        ahead = CLAIM + MINUTE
        clocks = [Clock(), Clock(ahead)]
        async with sending(store, SecretBox(home), clocks[0]), sending(store, SecretBox(home), clocks[1]):
            await until(lambda: not notifications.backlog(store, NOON)["pending"], 30)
    told = {id_ for (id_,) in rows(store, "notifications", "id")}
    assert len(told) == len(rows(store, "alerts", "id")) == 8
    # a receiver that knows the ids it has seen takes each once
    assert {got.headers["webhook-id"] for got in receiver.got} == told


def lease(store: Any, holder: str, now: datetime) -> int:
    token = leases.acquire(store, LEASE, holder, now=now, until=now + timedelta(seconds=10))
    assert token
    return token


def _ticked(store: Any, watching: list[Watched], token: int, at: datetime) -> str:
    try:
        tick(store, watching, at, fence=[leases.holding(LEASE, token, until=at + timedelta(seconds=10))])
    except Fenced:
        return "fenced"
    return "evaluated"
