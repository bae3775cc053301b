"""What turns cost, by the ledger's records."""

import asyncio
from decimal import Decimal

import pytest

from proxy.crosstalk.tabs import Tab, Tabs
from tests.proxy.spool_samples import ended


def record(request_id: str = "r", status: int = 200, cost: str | None = "0.5", session: str = "s"):
    usd = None if cost is None else Decimal(cost)
    return ended("id", request_id=request_id, status=status, cost_usd=usd, session=session)


async def test_a_call_costs_what_all_its_attempts_did():
    tab = Tab()
    tab.begin()
    for each in (record(status=529, cost="0.1"), record("another"), record(cost="0.5")):
        tab.add(each)
    assert await tab.cost("r", 200, 5.0) == Decimal("0.6")
    assert tab.spent == Decimal("1.1")


async def test_the_record_of_the_answer_is_waited_for():
    tab = Tab()
    tab.begin()
    tab.add(record(status=529, cost="0.1"))
    waiting = asyncio.get_running_loop().create_task(tab.cost("r", 200, 20.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    tab.add(record())
    assert await waiting == Decimal("0.6")


@pytest.mark.parametrize("records", [[], [record("another")], [record(cost=None)]], ids=["none", "others", "unpriced"])
async def test_a_cost_that_nobody_knows_is_none(records):
    tab = Tab()
    tab.begin()
    for each in records:
        tab.add(each)
    assert await tab.cost("r", 200, 0.01) is None


def test_a_new_turn_keeps_what_was_spent():
    tab = Tab()
    tab.add(record())
    tab.begin()
    tab.add(record(cost=None))
    assert tab.spent == Decimal("0.5")


def test_records_of_other_sessions_are_not_noted():
    tabs = Tabs()
    tabs.closed(record())
    tab = tabs.open("s")
    tabs.closed(record(session="other"))
    assert tab.spent is None
    tabs.closed(record())
    tabs.close("s")
    tabs.closed(record())
    assert tab.spent == Decimal("0.5")
