"""What other rules really sent takes from the limits in a replay, as it took from them then."""

from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs

from data.queries import notifications
from engine import channel_store, outbox
from engine.audit import new_id
from engine.bucket import Limit
from engine.history import Grid
from engine.notify import Reason
from engine.recorded import surroundings
from engine.rule import parse
from engine.secrets import SecretBox
from engine.simulated_notices import said
from engine.state import Reason as Why
from engine.state import State, Transition
from engine.surroundings import Sent, Surroundings
from engine.sweep import sweep
from engine.terms import ALL
from engine.tick import tick
from tests.engine.receivers import FIRING
from tests.engine.test_api import api, ask  # noqa: F401 - a fixture
from tests.engine.traffic import COSTLY, MINUTE, NOON, SECOND, rows, spend, watch

HOUR = timedelta(hours=1)


@pytest.fixture
def hook(store, home):
    """A channel that takes one notice at once and one more every two minutes."""
    config = {"url": "http://127.0.0.1:9/", "allow_private": True, "burst": 1, "per_minute": 0.5}
    channel_store.create(store, SecretBox(home), {"name": "hook", "kind": "webhook", "config": config}, by="ada")


def put(store, rule_id, *, at=NOON, reason="first", **fields):
    """A notice that went to a channel."""
    said = structs.replace(FIRING, rule_id=rule_id, reason=reason)
    row = replace(outbox.queued(new_id(), said, channel="hook", at=at, status="sent"), **fields)
    store.transact([notifications.adding(row)])
    return row.id


async def test_what_another_rule_used_up_is_missing_to_the_simulated_one_as_it_was_to_the_live_one(
    api,  # noqa: F811
    store,
    hook,
):
    other, rule = (watch(store, name=name, notify=["hook"]) for name in ("Other", "Mine"))
    spend(store, NOON - SECOND, "2")
    tick(store, [other], NOON)
    tick(store, [rule], NOON + MINUTE)
    assert sweep(store, NOON + MINUTE + 30 * SECOND) == 0
    assert sweep(store, NOON + 2 * MINUTE) == 1
    assert rows(store, "notifications", "reason", "status") == [
        ("first", "pending"),
        ("rate_limited", "bundled"),
        ("digest", "pending"),
    ]

    body = {"rule_id": rule.id, "from": (NOON + MINUTE).isoformat(), "to": (NOON + 4 * MINUTE).isoformat()}
    made = await ask(api, "POST", "/api/alerts/simulate", json=body)
    (first,) = made["notices"]
    assert (first["reason"], first["held"], first["told_at"]) == ("rate_limited", "first", "2026-03-01T12:02:00Z")
    assert [digest["time"] for digest in made["digests"]] == ["2026-03-01T12:02:00Z"]
    assert made["totals"]["silent"] == {"rate_limited": 1}


@pytest.mark.parametrize("name", ["Mine", "Other"])
def test_a_rules_own_notices_are_left_out_by_its_id_and_by_its_name(store, name):
    mine, other = (watch(store, name=each) for each in ("Mine", "Other"))
    for number, one in enumerate((mine, other)):
        put(store, one.id, at=NOON + number * MINUTE)
    drawn = parse({**COSTLY, "name": name})
    taken = {"Mine": NOON + MINUTE, "Other": NOON}[name]
    assert surroundings(store, drawn, NOON, NOON + HOUR).others == (Sent(taken, "hook"),)
    assert surroundings(store, parse(COSTLY), NOON, NOON + HOUR, rule_id=other.id).others == (Sent(NOON, "hook"),)


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({}, True),
        ({"status": "pending"}, True),
        ({"status": "failed"}, True),
        ({"reason": "fallback", "fallback_of": "x"}, True),
        ({"status": "silent"}, False),
        ({"status": "bundled", "bundle": "x"}, False),
        ({"reason": "test"}, False),
        ({"reason": "acknowledgement"}, False),
        ({"reason": "unacknowledged"}, False),
        ({"at": NOON - timedelta(hours=23)}, True),
        ({"at": NOON - timedelta(hours=25)}, False),
        ({"at": NOON + HOUR}, False),
    ],
    ids=[
        "sent", "pending", "failed", "fallback", "silent", "bundled", "test", "acknowledgement", "unacknowledged",
        "the day before", "long before", "after",
    ],
)  # fmt: skip
def test_what_took_from_the_limits_counts(store, fields, counts):
    put(store, "other", **fields)
    assert bool(surroundings(store, parse(COSTLY), NOON, NOON + HOUR).others) is counts


@pytest.mark.parametrize(("parts", "counts"), [(["mine"], False), (["mine", "other"], True), (["other"], True)])
def test_a_digest_counts_unless_it_told_of_the_rule_alone(store, parts, counts):
    mine = watch(store, name="Mine").id
    digest = put(store, "", reason="digest")
    for part in parts:
        put(store, mine if part == "mine" else part, status="bundled", bundle=digest)
    assert bool(surroundings(store, parse({**COSTLY, "name": "Mine"}), NOON, NOON + HOUR).others) is counts


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ((), Reason.FIRST),
        ((Sent(NOON - MINUTE, "one"),), Reason.RATE_LIMITED),
        ((Sent(NOON - MINUTE, "two"),), Reason.FIRST),
        ((Sent(NOON - MINUTE, "two", 3),), Reason.RATE_LIMITED),
        ((Sent(NOON - 2 * MINUTE, "one", 50),), Reason.FIRST),
        ((Sent(NOON + MINUTE, "one", 50),), Reason.FIRST),
    ],
    ids=["nothing", "its channel", "another", "all together", "long ago, more than there is", "later"],
)
def test_it_takes_from_its_channel_and_from_all_while_that_lasts(others, reason):
    rule = parse({**COSTLY, "notify": ["one"]})
    fires = Transition(NOON, {}, State.NORMAL, State.FIRING, Why.CONDITION, 2.0, 1.0, opens=True, resolves=False)
    limits = {"one": Limit(0.5, 1), ALL: Limit(0.5, 3)}
    made = said(rule, Grid(NOON, NOON + HOUR, MINUTE), [({}, [fires])], Surroundings(limits=limits, others=others))
    assert [notice.reason for notice in made.notices] == [reason]
