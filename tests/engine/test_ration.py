from datetime import timedelta
from random import Random

import pytest

from engine import channel_store, incidents
from engine.notice import decode
from engine.secrets import SecretBox
from engine.sweep import sweep
from engine.tick import tick
from tests.engine.traffic import COSTLY, MINUTE, NOON, SECOND, rows, spend, watch

HOUR = timedelta(hours=1)


@pytest.fixture
def hook(store, home):
    """A channel that takes two notices at once and one more a minute."""
    config = {"url": "http://127.0.0.1:9/", "allow_private": True, "burst": 2, "per_minute": 1}
    document = {"name": "hook", "kind": "webhook", "config": config}
    return channel_store.create(store, SecretBox(home), document, by="ada")


def watching(store, *names, **fields):
    return [watch(store, name=name, notify=["hook"], **fields) for name in names]


def notices(store, status="pending"):
    text = "SELECT reason, notice FROM notifications WHERE status = ? ORDER BY id"
    return [(row["reason"], decode(row["notice"])) for row in store.sql(text, (status,)).rows(named=True)]


def test_what_is_over_the_limit_is_recorded_and_told_in_one_digest(store, hook):
    rules = watching(store, "a", "b", "c", "d", "e")
    spend(store, NOON - SECOND, "2")
    tick(store, rules, NOON)
    assert (
        rows(store, "notifications", "reason", "status", "held")
        == [("first", "pending", "")] * 2 + [("rate_limited", "silent", "first")] * 3
    )

    assert sweep(store, NOON + SECOND) == 0
    assert sweep(store, NOON + MINUTE, public_url="http://app") == 1
    assert sweep(store, NOON + MINUTE) == 0

    (reason, said) = notices(store)[-1]
    assert (reason, said.severity, said.group_count) == ("digest", "high", 3)
    assert said.title == "3 notices held back"
    assert said.summary == "Held back: 3 by the rate limit. Of 3 incidents, 3 still fire (3 high)."
    assert said.message.splitlines()[0] == "By rule: 1 c, 1 d, 1 e."
    assert said.alert_url == "http://app/alerts"
    assert len(notices(store, "bundled")) == 3


def test_nothing_overtakes_the_digest_and_afterwards_all_count_as_told(store, hook):
    rules = watching(store, "a", "b", "c", "d", repeat="10m")
    for n in range(0, 30, 4):
        spend(store, NOON + n * MINUTE - SECOND, "2")
    tick(store, rules, NOON)
    tick(store, rules, NOON + 2 * MINUTE)  # the bucket has two again, but c and d wait for their digest
    assert len(notices(store)) == 2
    sweep(store, NOON + 3 * MINUTE)
    tick(store, rules, NOON + 9 * MINUTE)
    assert [reason for reason, _ in notices(store)] == ["first", "first", "digest"]
    tick(store, rules, NOON + 13 * MINUTE)
    assert [reason for reason, _ in notices(store)][3:] == ["repeat", "repeat"]


def test_the_end_of_what_was_told_is_held_back_by_a_limit_too_and_told_in_the_digest(store, hook):
    rules = watching(store, "a", "b", "c")
    spend(store, NOON - SECOND, "2")
    tick(store, rules, NOON)
    tick(store, rules, NOON + 30 * SECOND)
    ids = [alert for (alert,) in rows(store, "alerts", "id")]
    incidents.resolve(store, ids, by="ada", at=NOON + 40 * SECOND)
    assert [held for (held,) in rows(store, "notifications", "held") if held] == ["first", "resolved", "resolved"]

    sweep(store, NOON + 2 * MINUTE)

    (_, said) = notices(store)[-1]
    assert said.summary == "Held back: 3 by the rate limit. Of 3 incidents, none fires any more."
    assert {held for (held, status) in rows(store, "notifications", "held", "status") if status == "bundled"} == {
        "resolved"
    }


def test_the_worst_severity_is_served_first(store, hook):
    rules = watching(store, "a", "b", severity="low") + watching(store, "c", "d", severity="critical")
    spend(store, NOON - SECOND, "2")
    tick(store, rules, NOON)
    assert sorted(said.rule_name for _, said in notices(store)) == ["c", "d"]


def test_what_a_critical_rule_warns_of_comes_after_what_is_worse(store, hook):
    warned = {**COSTLY["when"], "value": 100, "warn": 1}
    milder = watching(store, "a", "b", severity="critical", warn_severity="info", when=warned)
    spend(store, NOON - SECOND, "2")
    tick(store, [*milder, *watching(store, "c", "d", severity="high")], NOON)
    assert sorted((said.severity, said.rule_name) for _, said in notices(store)) == [("high", "c"), ("high", "d")]


def test_a_bundle_takes_one_from_the_bucket_and_held_back_leaves_its_parts(store, hook):
    (rule,) = watching(store, "a", group_by=["model"])
    for n in range(3):
        spend(store, NOON - SECOND, "2", model=f"m{n}")
    others = watching(store, "b", "c", severity="critical")
    tick(store, [rule, *others], NOON)
    assert len(notices(store)) == 2
    assert rows(store, "notifications", "reason", "held").count(("rate_limited", "first")) == 3
    sweep(store, NOON + MINUTE)
    assert notices(store)[-1][1].group_count == 3


def test_a_channel_of_single_incidents_gets_each_by_itself_as_it_takes_them(store, hook, monkeypatch):
    monkeypatch.setattr("engine.post.takes_bundles", lambda _: False)
    rules = watching(store, "a", "b", "c", "d")
    spend(store, NOON - SECOND, "2")
    tick(store, rules, NOON)
    assert sweep(store, NOON + MINUTE) == 1
    assert sweep(store, NOON + 2 * MINUTE) == 1
    assert [reason for reason, _ in notices(store)] == ["first"] * 4
    assert all(said.alert_id for _, said in notices(store))


def test_all_channels_together_have_a_limit(store, monkeypatch):
    from engine.bucket import Limit

    monkeypatch.setattr("engine.post.OVERALL", Limit(per_minute=1, burst=1))
    rules = [watch(store, name=name) for name in "ab"]
    spend(store, NOON - SECOND, "2")
    tick(store, rules, NOON)
    assert sorted(reason for (reason,) in rows(store, "notifications", "reason")) == ["first", "rate_limited"]


def test_what_began_and_ended_in_the_quiet_time_is_told_when_that_is_over(store):
    rule = watch(store, cooldown="1h")
    for minute in (0, 20):
        spend(store, NOON + minute * MINUTE - SECOND, "2")
    for minute in (0, 6, 20, 26):
        tick(store, [rule], NOON + minute * MINUTE)
    assert [reason for reason, _ in notices(store)] == ["first", "resolved"]
    assert sweep(store, NOON + 59 * MINUTE) == 0
    assert sweep(store, NOON + HOUR) == 1
    (_, said) = notices(store)[-1]
    assert said.summary == ("Held back: 1 in the quiet time after a notice. Of 1 incident, none fires any more.")
    assert sweep(store, NOON + 2 * HOUR) == 0


def test_what_still_fires_after_the_quiet_time_is_told_by_itself_and_in_no_digest(store):
    rule = watch(store, cooldown="30m")
    for minute in (0, *range(10, 40, 4)):
        spend(store, NOON + minute * MINUTE - SECOND, "2")
    for minute in (0, 6, 10, 20, 30, 31):
        tick(store, [rule], NOON + minute * MINUTE)
        sweep(store, NOON + minute * MINUTE)
    tick(store, [rule], NOON + 50 * MINUTE)
    assert sweep(store, NOON + HOUR) == 0
    assert [reason for reason, _ in notices(store)] == ["first", "resolved", "first", "resolved"]
    assert {held for (held,) in rows(store, "notifications", "held")} == {""}


def test_a_digest_is_written_as_a_whole_or_not_at_all(store, hook, monkeypatch):
    rules = watching(store, "a", "b", "c")
    spend(store, NOON - SECOND, "2")
    tick(store, rules, NOON)
    before = rows(store, "notifications", "id", "status")

    class Killed(Exception):
        pass

    def die(*_):
        raise Killed

    with monkeypatch.context() as broken:
        broken.setattr(type(store), "transact", die)
        with pytest.raises(Killed):
            sweep(store, NOON + MINUTE)
    assert rows(store, "notifications", "id", "status") == before
    assert sweep(store, NOON + MINUTE) == 1


def test_two_who_sweep_at_once_tell_it_once(store, hook, monkeypatch):
    rules = watching(store, "a", "b", "c")
    spend(store, NOON - SECOND, "2")
    tick(store, rules, NOON)
    from data.queries import held

    read = held.held

    def read_then_lose_the_race(*args, **options):
        found = read(*args, **options)
        monkeypatch.setattr(held, "held", read)
        assert sweep(store, NOON + MINUTE) == 1
        return found

    monkeypatch.setattr(held, "held", read_then_lose_the_race)
    assert sweep(store, NOON + MINUTE) == 0
    assert [reason for reason, _ in notices(store)].count("digest") == 1


@pytest.mark.parametrize("partial_ends", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_whatever_comes_and_goes_over_a_narrow_channel(store, home, hook, seed, partial_ends):
    channel_store.update(store, SecretBox(home), hook.id, {"config": {"partial_ends": partial_ends}}, by="ada")
    random = Random(seed)
    fields = {"flapping": {"count": 3, "within": "20m"}, "cooldown": "7m"} if seed else {"flapping": None}
    rules = [
        watch(store, name=name, notify=["hook"], group_by=["model"], when=NARROW, grouping=bool(seed), **fields)
        for name in "ab"
    ]
    for n in range(25):
        at = NOON + n * MINUTE
        for model in "xyz":
            if random.random() < 0.4:
                spend(store, at - SECOND, "2", model=model)
        tick(store, rules, at)
        sweep(store, at)
    for n in range(25, 90):
        tick(store, rules if n < 28 else [], NOON + n * MINUTE)
        sweep(store, NOON + n * MINUTE)

    assert rows(store, "alerts", "status") == [("resolved",)] * len(rows(store, "alerts", "id"))
    left = store.sql("SELECT reason, held FROM notifications WHERE status = 'silent' AND held != ''").rows()
    assert left == []
    last = "SELECT alert_id, arg_max(CASE WHEN held != '' THEN held ELSE reason END, id) AS reason FROM notifications"
    told = dict(store.sql(f"{last} WHERE status != 'silent' AND alert_id != '' GROUP BY alert_id").rows())
    assert set(told) == {alert for (alert,) in rows(store, "alerts", "id")}
    quietly = quietly_over(store)
    assert {told[alert] for alert in told.keys() - quietly} <= {"resolved", "some_resolved"}
    assert bool(quietly) is not partial_ends
    assert partial_ends or set(last_words(store)) == {"resolved"}
    assert store.sql("SELECT count(*) FROM notifications WHERE reason = 'rate_limited'").row(0)[0] > 4
    assert store.sql("SELECT count(*) FROM notifications WHERE reason = 'digest'").row(0)[0] > 2


def quietly_over(store):
    """The incidents that ended beside others, which the channel was to hear nothing of."""
    return set(store.sql("SELECT alert_id FROM notifications WHERE reason = 'others_fire'").to_series())


def last_words(store):
    """The last that each rule told the channel, alone or with others."""
    last = "SELECT arg_max(CASE WHEN held != '' THEN held ELSE reason END, coalesce(finished_at, created_at))"
    spoken = "WHERE status != 'silent' AND alert_id != '' GROUP BY rule_id"
    return store.sql(f"{last} AS reason FROM notifications {spoken}").to_series()


NARROW = {"metric": "cost", "window": "1m", "op": ">", "value": 1}
