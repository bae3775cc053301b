"""What is old goes, and what is still needed stays."""

from datetime import timedelta
from decimal import Decimal

import pytest

from data import budget_changes
from data.budgets import Budget, Period
from data.config import Config, RetentionConfig
from data.errors import ConfigError
from data.queries import limits, provider_events
from data.queries.limits import LimitRow
from data.retention import PARTS
from data.settings import load
from data.store import Statement
from engine import incidents, rules
from engine.desk import Desk
from engine.housekeeping.dropping import dropping
from engine.secrets import SecretBox
from engine.tick import tick
from tests.engine.traffic import COSTLY, NOON, SECOND, rows, spend, watch

DAY = timedelta(days=1)


def desk_of(store, config: Config, **days: int) -> Desk:
    kept = Config(home=config.home, retention=RetentionConfig(**{f"{kind}_days": n for kind, n in days.items()}))
    return Desk(kept, SecretBox(config.home), connected=store)


def count(store, table: str) -> int:
    return store.sql(f"SELECT count(*) AS n FROM {table}")["n"][0]


async def test_without_being_told_everything_is_kept(store, config):
    spend(store, NOON - 3000 * DAY, "1")
    assert await dropping(desk_of(store, config)).run(NOON) == "everything is kept for ever"
    assert count(store, "requests") == 1


async def test_requests_and_sums_go_each_at_their_own_age(store, config):
    for days in (200, 199, 101, 99, 1):
        spend(store, NOON - days * DAY, "1")
    job = dropping(desk_of(store, config, requests=100, minutes=150))
    before = count(store, "usage_hour")
    assert job.rehearse is not None
    told = await job.rehearse(NOON)
    assert "would drop 3 of requests from before 2025-11-21" in told
    assert count(store, "requests") == 5
    assert "dropped 3 of requests" in await job.run(NOON)
    assert [count(store, table) for table in ("requests", "usage_minute", "latency_minute")] == [2, 3, 3]
    assert count(store, "usage_hour") == before
    assert "dropped 0 of requests" in await job.run(NOON)


async def test_what_a_budget_counts_from_is_held_back(store, config):
    for days in (200, 10):
        spend(store, NOON - days * DAY, "1")
    budget = Budget(name="all time", amount_usd=Decimal(5), period=Period.ONCE, starts_at=NOON - 201 * DAY)
    budget_changes.create(store, budget, by="ann", now=NOON)
    told = await dropping(desk_of(store, config, requests=100)).run(NOON)
    assert "dropped 0 of requests" in told
    assert "held back: the budget 'all time' counts from there" in told
    assert count(store, "requests") == 2


async def test_an_open_incident_stays_whole_and_a_resolved_one_goes_with_all_that_was_told(store, config):
    ended, going_on = watch(store, name="ended"), watch(store, name="going on")
    spend(store, NOON - SECOND, "2")
    tick(store, [ended, going_on], NOON)
    (closed,) = store.sql("SELECT id FROM alerts WHERE rule_name = 'ended'")["id"]
    incidents.resolve(store, [closed], by="ann", at=NOON)
    job = dropping(desk_of(store, config, incidents=100, deliveries=100))
    settle(store)
    assert "dropped" in await job.run(NOON + 99 * DAY)
    assert count(store, "alerts") == 2
    await job.run(NOON + 101 * DAY)
    assert rows(store, "alerts", "rule_name") == [("going on",)]
    assert {name for (name,) in rows(store, "alert_events", "alert_id")} == {
        one for (one,) in rows(store, "alerts", "id")
    }
    assert {one for (one,) in rows(store, "notifications", "alert_id")} == {
        one for (one,) in rows(store, "alerts", "id")
    }


def settle(store) -> None:
    """As if every notification had been sent."""
    store.transact([Statement("UPDATE notifications SET status = 'sent', finished_at = created_at")])


async def test_events_of_providers_go_and_a_dry_run_says_how_many(store, config):
    for days in (200, 101, 99):
        store.transact([provider_events.keeping(f"e{days}", channel_id="pager", at=NOON - days * DAY)])
    job = dropping(desk_of(store, config, events=100))
    assert job.rehearse is not None
    assert (await job.rehearse(NOON)).startswith("would drop 2 of provider_events from before 2025-11-21")
    assert count(store, "provider_events") == 3
    assert (await job.run(NOON)).startswith("dropped 2 of provider_events")
    assert provider_events.seen(store, "e99")


async def test_what_a_rules_repeat_looks_back_at_is_held_back(store, config):
    rules.save(store, {**COSTLY, "repeat": "90d"}, by="ann")
    told = await dropping(desk_of(store, config, deliveries=62)).run(NOON)
    assert "held back: a rule's repeat or cooldown looks back as far" in told


@pytest.mark.parametrize("kind", PARTS)
def test_every_kind_has_its_setting(kind: str, home):
    variable = {f"CLAUDE_PROXY_RETENTION_{kind.upper()}_DAYS": "90", "CLAUDE_PROXY_HOME": str(home)}
    assert getattr(load(variable).retention, f"{kind}_days") == 90


def test_too_short_an_age_is_refused(home):
    with pytest.raises(ConfigError, match=r"CLAUDE_PROXY_RETENTION_REQUESTS_DAYS.*at least 62"):
        load({"CLAUDE_PROXY_RETENTION_REQUESTS_DAYS": "7", "CLAUDE_PROXY_HOME": str(home)})


async def test_readings_of_providers_limits_go_and_a_dry_run_says_how_many(store, config):
    for days in (200, 101, 99):
        at = NOON - days * DAY
        place = {"proxy": "p", "provider": "openai", "credential": "", "limit": "tokens", "minute": at}
        store.transact([limits.keeping([LimitRow(**place, at=at, used_percent=1.0, remaining=99.0, most=100.0)])])
    job = dropping(desk_of(store, config, limits=100))
    assert job.rehearse is not None
    assert (await job.rehearse(NOON)).startswith("would drop 2 of provider_limits from before 2025-11-21")
    assert (await job.run(NOON)).startswith("dropped 2 of provider_limits")
    assert count(store, "provider_limits") == 1
