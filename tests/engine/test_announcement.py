"""Who stands in for a channel: the rule's fallbacks, but for those that are told the same themselves."""

import json
from datetime import UTC, datetime

import pytest

from engine.secrets import SecretBox
from engine.tick import tick
from tests.engine.receivers import receiving, until
from tests.engine.test_delivery import Clock, hook, sending
from tests.engine.traffic import NOON, SECOND, rows, spend, watch


@pytest.fixture
def box(home):
    return SecretBox(home)


async def reasons_at_b(store, box, **fields):
    """What `b` is told when `a` fails."""
    async with receiving(400) as bad, receiving() as good:
        hook(store, box, bad.url, "a")
        hook(store, box, good.url, "b")
        spend(store, NOON - SECOND, "2")
        tick(store, [watch(store, **fields)], NOON)
        async with sending(store, box, Clock(NOON + SECOND - datetime.now(UTC))):
            await until(lambda: not [s for (s,) in rows(store, "notifications", "status") if s == "pending"])
    assert len(bad.got) == 1
    return [json.loads(got.body)["data"]["reason"] for got in good.got]


async def test_a_fallback_that_is_told_itself_is_told_once(store, box):
    assert await reasons_at_b(store, box, notify=["a", "b"], fallback=["b"]) == ["first"]
    assert rows(store, "inbox", "title") == [("[MESSAGE] [HIGH] A notification was not delivered",)]


async def test_a_fallback_that_is_told_later_stands_in_until_then(store, box):
    later = [{"after": "10m", "notify": ["b"]}]
    assert await reasons_at_b(store, box, notify=["a"], escalate=later, fallback=["b"]) == ["fallback"]


async def test_the_next_in_line_stands_in_where_the_one_before_is_told_itself(store, box):
    async with receiving() as next_one:
        hook(store, box, next_one.url, "c")
        assert await reasons_at_b(store, box, notify=["a", "b"], fallback=["b", "c"]) == ["first"]
    assert [json.loads(got.body)["data"]["reason"] for got in next_one.got] == ["fallback"]
