"""Budgets' thresholds are told once, the worker's own troubles too, and the heartbeat stops with them."""

import json
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal

import pytest

from data.budget_periods import to_us
from data.budgets import Budget, Enforcement, Period, Scope, ScopeKind
from data.config import Config, WorkerConfig
from data.counters import books, reports
from data.counters.file import CounterFile
from data.counters.rows import Crossing, Document
from data.errors import StoreUnavailable
from engine import channel_store
from engine.channels.http import HttpSender
from engine.desk import Desk
from engine.errors import DeliveryError, Unwell
from engine.housekeeping.budget_news import budget_news
from engine.housekeeping.heartbeat import heartbeat, trouble
from engine.housekeeping.watch import Watch
from engine.notice import decode
from engine.post import terms
from engine.secrets import SecretBox
from engine.terms import ALL
from tests.engine.receivers import receiving
from tests.engine.traffic import MINUTE, NOON, rows

CORE = Budget(name="core", amount_usd=Decimal(100), period=Period.MONTH, notify=("mail", "in-app", "mail"))
DOLLAR = 10**9


@pytest.fixture
def desk(store, config) -> Desk:
    return Desk(config, SecretBox(config.home), connected=store)


def reach(config: Config, budget: Budget, name: str, used: int, *, value: str = "", at=NOON) -> None:
    """As the proxy notes it that a threshold was reached."""
    file = CounterFile.open(config.home / "budgets.sqlite")
    try:
        books.learn(file, [(Document("b-1", 1, budget.model_dump_json()), budget.shape)], to_us(at))
        number = books.install(file, ("b-1", budget.shape), [], books.folded(file))
        number = number or books.known(file).counted["b-1", budget.shape]
        crossing = Crossing(number, value, name, to_us(at), used, 100 * DOLLAR)
        assert reports.cross(file, crossing, to_us(at))
    finally:
        file.close()


async def test_a_threshold_is_told_once_in_the_app_and_to_the_budgets_channels(store, config, desk):
    job = budget_news(desk)
    assert await job.run(NOON) == "0 of 0 thresholds were news"
    reach(config, CORE, "80%", 84 * DOLLAR)
    with desk.hub.listening() as heard:
        assert await job.run(NOON + MINUTE) == "1 of 1 thresholds were news"
        assert heard.get_nowait()["title"] == "[MESSAGE] [MEDIUM] Budget core has reached 80 % (budget=core)"
    assert await budget_news(desk).run(NOON + 2 * MINUTE) == "0 of 1 thresholds were news"
    assert rows(store, "inbox", "body") == [("$84.00 of $100.00 is spent this month.",)]
    assert rows(store, "notifications", "channel", "status", "reason") == [("mail", "pending", "budget")]
    assert desk.outbox.is_set()


async def test_a_hard_budget_that_is_used_up_says_what_that_means(store, config, desk):
    reach(config, CORE, "100%", 100 * DOLLAR)
    await budget_news(desk).run(NOON)
    assert rows(store, "inbox", "severity", "body") == [
        ("high", "$100.00 of $100.00 is spent this month. Calls that it counts are refused.")
    ]


async def test_a_soft_one_refuses_nothing_and_a_forecast_says_where_it_leads(store, config, desk):
    soft = CORE.model_copy(update={"enforcement": Enforcement.SOFT})
    reach(config, soft, "100%", 120 * DOLLAR)
    reach(config, soft, "forecast", 40 * DOLLAR, at=NOON + MINUTE)
    await budget_news(desk).run(NOON + MINUTE)
    assert {body for (body,) in rows(store, "inbox", "body")} == {
        "$120.00 of $100.00 is spent this month.",
        "$40.00 of $100.00 is spent this month; going on like this it will be more than $100.00 by the end.",
    }


async def test_of_a_budget_for_each_it_says_whose(store, config, desk):
    each = CORE.model_copy(update={"scope": Scope(kind=ScopeKind.TEAM, value="*")})
    reach(config, each, "50%", 50 * DOLLAR, value="blue")
    await budget_news(desk).run(NOON)
    assert "Budget core (blue) has reached 50 %" in rows(store, "inbox", "title")[0][0]


async def test_the_next_period_is_news_again_and_what_is_long_past_is_none(store, config, desk):
    reach(config, CORE, "80%", 84 * DOLLAR)
    await budget_news(desk).run(NOON + timedelta(days=8))
    assert rows(store, "inbox", "id") == []
    await budget_news(desk).run(NOON)
    reach(config, CORE, "80%", 81 * DOLLAR, at=NOON + timedelta(days=31))
    await budget_news(desk).run(NOON + timedelta(days=31))
    assert len(rows(store, "inbox", "id")) == 2


def narrow(desk: Desk) -> None:
    form = {"url": "http://127.0.0.1:9/", "allow_private": True, "burst": 2, "per_minute": 1}
    channel_store.create(desk.store, desk.box, {"name": "mail", "kind": "webhook", "config": form}, by="ada")


def to_mail(store, *columns: str) -> list[tuple]:
    return store.sql(
        f"SELECT {', '.join(columns)} FROM notifications WHERE channel = 'mail' ORDER BY due_at, id"
    ).rows()


async def test_what_a_channel_takes_no_more_of_is_told_there_in_one_notice(store, config, desk):
    narrow(desk)
    job, each = budget_news(desk), CORE.model_copy(update={"scope": Scope(kind=ScopeKind.TEAM, value="*")})
    for n in range(40):
        reach(
            config,
            each,
            "100%" if n == 30 else "80%",
            100 * DOLLAR,
            value=f"team-{n}",
            at=NOON - (60 - n) * MINUTE / 60,
        )
    assert await job.run(NOON) == "40 of 40 thresholds were news"
    assert sorted(to_mail(store, "reason", "status", "held")) == [
        *[("budget", "pending", "")] * 2,
        *[("rate_limited", "silent", "budget")] * 38,
    ]
    reach(config, each, "80%", 80 * DOLLAR, value="late", at=NOON + timedelta(seconds=30))
    await job.run(NOON + timedelta(seconds=30))
    assert ("pending", 2) in store.sql("SELECT status, count(*) FROM notifications GROUP BY ALL").rows()

    assert await job.run(NOON + MINUTE) == "0 of 41 thresholds were news"
    await job.run(NOON + 2 * MINUTE)

    told = [decode(text) for text, status in to_mail(store, "notice", "status") if status == "pending"]
    assert len(told) == 3
    assert (told[2].title, told[2].summary) == (
        "39 notices about budgets held back",
        "Held back: 39 by the rate limit.",
    )
    lines = told[2].message.splitlines()
    assert (told[2].severity, lines[0][:6], len(lines), lines[-1]) == ("high", "[HIGH]", 21, "and 19 more")
    assert len(rows(store, "inbox", "id")) == 41
    bundles = {bundle for status, bundle in to_mail(store, "status", "bundle") if status == "bundled"}
    assert len(bundles) == 1


async def test_news_of_budgets_takes_from_the_limits_that_alerts_take_from(store, config, desk):
    narrow(desk)
    reach(config, CORE, "80%", 84 * DOLLAR)
    await budget_news(desk).run(NOON)
    left = terms(store, NOON).buckets
    assert (left["mail"].level, left[ALL].limit.burst - left[ALL].level) == (1.0, 1.0)


def well(desk: Desk) -> None:
    desk.status.rules, desk.status.cadences_s, desk.status.last_tick_at = 1, (60,), NOON


@asynccontextmanager
async def beating(desk: Desk, answer: int = 200):
    """A receiver of heartbeats, and the job that sends them."""
    async with receiving(answer) as receiver, HttpSender() as http:
        worker = WorkerConfig(heartbeat_url=receiver.url)
        told = Desk(Config(home=desk.config.home, worker=worker), desk.box)
        told.status = desk.status
        yield receiver, heartbeat(told, http)


async def test_the_heart_beats_while_all_is_well(desk):
    well(desk)
    async with beating(desk) as (receiver, job):
        assert await job.run(NOON + MINUTE) == "sent, answered 200"
        assert json.loads(receiver.got[0].body)["status"] == "ok"
        desk.status.last_error = "boom"
        with pytest.raises(Unwell, match=r"not sent: the last evaluation failed \(boom\)"):
            await job.run(NOON + MINUTE)
        assert len(receiver.got) == 1


async def test_a_heartbeat_that_nobody_takes_is_a_failure(desk):
    async with beating(desk, 500) as (_, job):
        with pytest.raises(DeliveryError, match="answered 500"):
            await job.run(NOON)


def test_what_makes_alerts_unreliable(desk):
    assert trouble(desk, NOON) == ""
    well(desk)
    assert trouble(desk, NOON + 3 * MINUTE) == ""
    assert "no rule was evaluated since 2026-03-01 12:00:00" in trouble(desk, NOON + 4 * MINUTE)
    desk.status.store_error = "gone"
    assert "the store is away (gone)" in trouble(desk, NOON)


async def test_missed_evaluations_are_told_once_an_hour(store, desk):
    well(desk)
    watch = Watch(desk).job()
    assert await watch.run(NOON) == "all is well"
    desk.status.missed_ticks += 2
    assert "2 evaluations did not happen in time" in await watch.run(NOON)
    assert [title for (title,) in rows(store, "inbox", "title")] == [
        "[MESSAGE] [HIGH] Rules are not evaluated as they should be"
    ]
    for minute in range(1, 61):
        desk.status.last_tick_at = NOON + minute * MINUTE
        assert await watch.run(NOON + minute * MINUTE - timedelta(seconds=15)) == "all is well"
        assert len(rows(store, "inbox", "id")) == 1
        desk.status.missed_ticks += 1
        assert "1 evaluation did not" in await watch.run(NOON + minute * MINUTE)
    assert len(rows(store, "inbox", "id")) == 2


async def test_another_kind_of_trouble_is_told_within_the_hour(store, desk):
    well(desk)
    watch = Watch(desk).job()
    desk.status.missed_ticks += 1
    await watch.run(NOON)
    desk.status.last_error = "boom"
    assert await watch.run(NOON + MINUTE) == "the last evaluation failed (boom)"
    desk.status.missed_ticks += 1
    await watch.run(NOON + 2 * MINUTE)
    assert len(rows(store, "inbox", "id")) == 2


async def test_failures_that_others_success_hides_are_told_and_leave_a_beat_out(store, desk):
    well(desk)
    async with beating(desk) as (receiver, job):
        watch = Watch(desk).job()
        desk.status.failed_ticks += 2
        assert await watch.run(NOON) == "2 evaluations failed, the worker's log says why"
        assert len(rows(store, "inbox", "id")) == 1
        with pytest.raises(Unwell, match="not sent: 2 evaluations failed"):
            await job.run(NOON)
        assert await watch.run(NOON) == "all is well"
        assert await job.run(NOON) == "sent, answered 200"
    assert len(receiver.got) == 1


async def test_what_was_wrong_while_the_store_was_away_is_told_when_it_is_back(store, desk):
    well(desk)
    watch = Watch(desk).job()
    desk.connected, desk.status.store_error = None, "gone"
    for seconds in (0, 15, 30):
        desk.status.missed_ticks += 1
        with pytest.raises(StoreUnavailable):
            await watch.run(NOON + timedelta(seconds=seconds))
    desk.connected, desk.status.store_error = store, ""
    told = await watch.run(NOON + MINUTE)
    assert told.startswith("3 evaluations did not happen in time")
    assert told.endswith("nobody could be told from 2026-03-01 12:00 UTC until now: the store is away (gone)")
    assert len(rows(store, "inbox", "id")) == 1
    assert await watch.run(NOON + 2 * MINUTE) == "all is well"
    assert len(rows(store, "inbox", "id")) == 1


async def test_a_beat_is_left_out_where_evaluations_were_missed_since_the_last(desk):
    well(desk)
    async with beating(desk) as (receiver, job):
        desk.status.missed_ticks += 3
        with pytest.raises(Unwell, match="not sent: 3 evaluations did not happen in time"):
            await job.run(NOON)
        assert await job.run(NOON + MINUTE) == "sent, answered 200"
    assert len(receiver.got) == 1
