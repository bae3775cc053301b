"""A budget begins with what the ledger knows of its period, with the real store: each record counts exactly once."""

import random
import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from data import budget_changes
from data.budget_scope import values, who_asked
from data.budgets import Budget
from data.connection import Connection
from data.counters import books, reports
from data.counters.rows import BatchKey
from data.model import Endpoint, LedgerRecord
from data.records import record_table
from proxy.budget.batch_holds import BATCH_TAG, BatchHolds
from proxy.budget.documents import learn
from proxy.budget.keeper import Keeper
from proxy.budget.money import counted
from proxy.budget.plan import Plan
from proxy.budget.rebuild import count_from_ledger
from proxy.budget.upkeep import now_us
from proxy.budget.worst_case import BatchWorst
from tests.proxy.budget_worlds import ALL, NOON, SECOND, Proxy, begin_counting, budget, documents, usd
from tests.proxy.spool_samples import ended, started, until

HOUR = 3600 * SECOND
NOW = datetime.fromtimestamp(NOON / SECOND, UTC)


@pytest.fixture
def connection(running, config):
    opened = Connection.open(config)
    yield opened
    opened.close()


@pytest.fixture
def at(running, home, config):
    begin_counting(home, [])
    proxy = Proxy(home)
    proxy.keeper = Keeper(home, proxy.spool.spool_id, lambda: Connection.open(config))
    proxy.budgets.counting.keeper = proxy.keeper
    yield proxy
    proxy.close()


def some_records(chance: random.Random, count: int) -> list[LedgerRecord]:
    return [
        ended(
            ended_at=NOON - chance.randrange(3 * 24 * HOUR),
            cost_usd=None if chance.random() < 0.1 else usd(chance.randrange(10**9)),
            liability_usd=usd(chance.randrange(10**9)) if chance.random() < 0.2 else None,
            team=chance.choice(["core", "web", ""]),
            user=chance.choice(["ann", "bob"]),
            model_requested=chance.choice(["big", "claude-x"]),
            model=chance.choice(["claude-x-20250101", "gpt-y"]),
            source=chance.choice(["live", "live", "live", "demo", "imported"]),
            tags={"env": chance.choice(["prod", "test"])} if chance.random() < 0.7 else {},
        )
        for _ in range(count)
    ]


def expected(each: Budget, records: list[LedgerRecord], now_us: int = NOON) -> dict[str, int]:
    """By hand: every record that counts at `now_us`."""
    found: dict[str, int] = {}
    for record in records:
        if each.schedule.counts(now_us).holds(each.schedule.bucket(record.ended_at).start_us):
            for value in values(each.scope, who_asked(record)):
                found[value] = found.get(value, 0) + counted(record)
    return {value: nano for value, nano in found.items() if nano}


def put(connection: Connection, records: list[LedgerRecord], spool_id: str = "elsewhere", first: int = 1) -> None:
    connection.put(record_table(records), spool_id=spool_id, first=first, last=first + len(records) - 1)


SCOPES = [
    {},
    {"kind": "team", "value": "*"},
    {"kind": "team", "value": "core"},
    {"kind": "user", "value": "ann"},
    {"kind": "model", "value": "claude-*"},
    {"kind": "model", "value": "*"},
    {"kind": "tag", "tag": "env", "value": "*"},
    {"kind": "tag", "tag": "env", "value": "prod"},
]
PERIODS = [("day", "calendar"), ("month", "calendar"), ("day", "rolling"), ("week", "rolling"), ("once", "calendar")]


def test_every_scope_and_period_begins_with_what_the_ledger_says(at, connection):
    records = some_records(random.Random(1), 400)
    put(connection, records)
    file = at.budgets.file
    for n, scope in enumerate(SCOPES):
        for period, window in PERIODS:
            each = budget(f"{n} {period} {window}", scope=scope, period=period, window=window, time_zone="Asia/Tokyo")
            plan = Plan(each.name, 1, each, None, each.schedule)
            learn(file, documents([each]), 0)
            assert count_from_ledger(file, plan, connection, at.home / "spool", NOON)
            number = books.known(file).counted[each.name, each.shape]
            groups = reports.groups(file, number, each.schedule.counts(NOON), 100)
            assert {group.value: group.spent for group in groups} == expected(each, records), each.name


@pytest.mark.parametrize(("shipped", "folded"), [(0, 0), (10, 0), (0, 10), (4, 7), (7, 4), (10, 10)])
def test_each_record_counts_once_wherever_it_is_on_its_way(at, connection, shipped, folded):
    """Ten records of this proxy's spool: the store has some, others are folded, which may be more or fewer."""
    records = [ended(ended_at=NOON, cost_usd=usd(10**n)) for n in range(10)]
    for n, record in enumerate(records):
        if n == folded:
            at.budgets.tick(NOON)
        at.budgets.settle(at.reserve(started(), 1), record, at.spool.end(record))
    if folded == 10:
        at.budgets.tick(NOON)
    until(lambda: len(at.spool.read(0, 20)[1]) == 10)
    if shipped:
        put(connection, records[:shipped], at.spool.spool_id)
    budget_changes.create(connection, budget(period="once", starts_at=NOW), by="ann", now=NOW)
    at.keeper.look_after()
    at.budgets.tick(NOON)
    (group,) = reports.groups(at.budgets.file, 1, ALL, 10)
    assert group.spent == sum(10**n for n in range(10))


def test_a_budget_made_while_calls_go_on_misses_none_and_counts_none_twice(at, connection):
    stop, offset = threading.Event(), 0

    def keep() -> None:
        while not stop.is_set():
            at.keeper.look_after()

    total = 0
    budget_changes.create(connection, budget("first", period="once", amount_usd=1000), by="a", now=NOW)
    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        for n in range(1500):
            nano = 1000 + n
            start = started()
            held = at.reserve(start, nano)
            at.begin(start, held)
            at.end(held, ended(start.id, cost_usd=usd(nano), ended_at=NOON + SECOND))
            total += nano
            if n % 7 == 0:
                at.budgets.tick(NOON + SECOND)
            if n == 500:
                budget_changes.create(connection, budget("second", period="once", amount_usd=1000), by="a", now=NOW)
            if n % 100 == 99:
                first, records = at.spool.read(offset, 1000)
                if records:
                    put(connection, records, at.spool.spool_id, first)
                    offset = first + len(records) - 1
                    at.spool.acknowledged(offset)
        until(lambda: at.budgets.tick(NOON + SECOND) or all(plan.number for plan in at.budgets.plans.all))
    finally:
        stop.set()
        keeper.join()
    at.budgets.tick(NOON + SECOND)
    spent = {
        plan.budget.name: reports.group(at.budgets.file, plan.number, "", ALL).spent for plan in at.budgets.plans.all
    }
    assert spent == {"first": total, "second": total}


def test_a_budget_made_while_a_batch_is_out_holds_what_it_may_cost_and_lets_go_of_it_with_the_others(at, connection):
    budget_changes.create(connection, budget("all", amount_usd=9), by="ann", now=NOW)
    at.keeper.look_after()
    at.budgets.tick(NOON)
    batches, start = BatchHolds(at.budgets), started(endpoint=Endpoint.BATCHES, team="core", started_at=now_us())
    worst = BatchWorst({"claude-x": 300, "claude-y": 70, "mystery": None})
    held = batches.reserve(start, BatchWorst({"claude-x": 370}), NOON / SECOND)
    assert batches.hold(held, start, worst, "batch_1")
    scopes = {
        "core": {"kind": "team", "value": "core"},
        "web": {"kind": "team", "value": "web"},
        "models": {"kind": "model", "value": "*"},
    }
    for name, scope in scopes.items():
        budget_changes.create(connection, budget(name, scope=scope), by="ann", now=NOW)
    at.keeper.look_after()
    at.budgets.tick(NOON + 2 * SECOND)

    def held_by_batches():
        numbers = {plan.budget.name: plan.number for plan in at.budgets.plans.all}
        found = {name: reports.groups(at.budgets.file, number, ALL, 9) for name, number in numbers.items()}
        return {(name, group.value): group.batches for name, groups in found.items() for group in groups}

    assert held_by_batches() == {
        ("all", ""): 370,
        ("core", "core"): 370,
        ("models", "claude-x"): 300,
        ("models", "claude-y"): 70,
    }
    record = ended(
        endpoint=Endpoint.BATCH_RESULT, team="core", model="claude-x", cost_usd=usd(100), ended_at=NOON,
        tags={BATCH_TAG: "batch_1"},
    )  # fmt: skip
    batches.settle(record, at.spool.end(record))
    assert held_by_batches() == {
        ("all", ""): 270,
        ("core", "core"): 270,
        ("models", "claude-x"): 200,
        ("models", "claude-y"): 70,
    }
    batches.end(BatchKey("anthropic", "batch_1"))
    assert set(held_by_batches().values()) == {0}


def test_documents_outlive_the_store_and_the_counters(at, connection, running, home):
    budget_changes.create(connection, budget(amount_usd=2), by="ann", now=NOW)
    at.keeper.look_after()
    at.budgets.tick(NOON)
    assert [plan.budget.amount_usd for plan in at.budgets.plans.all] == [Decimal(2)]
    assert (home / "budgets.json").stat().st_mode & 0o777 == 0o600
    for path in home.glob("budgets.sqlite*"):
        path.unlink()
    again = Proxy(home, "proxy-2")
    assert [plan.budget.name for plan in again.budgets.plans.all] == ["all"]
    again.keeper = Keeper(home, again.spool.spool_id, at.keeper._connect)
    again.keeper.look_after()
    again.budgets.tick(NOON)
    assert again.budgets.trouble == ""
    again.close()


def test_a_store_that_is_away_changes_nothing(at, running):
    running.stop()
    at.keeper.look_after()
    assert "StoreUnavailable" in at.keeper.store_trouble
    assert not at.budgets.active
