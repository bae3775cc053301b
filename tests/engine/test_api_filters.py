"""Lists over the API, of which only some is asked for: also over several pages."""

import pytest

from data.queries import channels as channel_rows
from data.store import Statement
from engine import channel_store, incidents, rules
from engine.audit import clock
from engine.breaker import OPENS_AFTER
from engine.tick import tick
from tests.engine.test_api import api, ask
from tests.engine.test_standing import ended
from tests.engine.traffic import MINUTE, NOON, SECOND, again, spend, watch

__all__ = ["api"]

RULES, CHANNELS, ACTIVE = "/api/alerts/rules", "/api/notifications/channels", "/api/alerts/active"


NEVER = {"metric": "cost", "window": "5m", "op": ">", "value": 1000}


async def whole(api, path, query):
    """What a list has, read in pages of one."""
    found, cursor = [], ""
    while True:
        answer = await ask(api, "GET", f"{path}?{query}&limit=1{cursor}")
        found += answer["items"]
        if answer["next"] is None:
            return found
        cursor = f"&cursor={answer['next']}"


async def names(api, path, query):
    return [each["name"] for each in await whole(api, path, query)]


@pytest.fixture
def watched(store):
    """A rule that fires for one of its groups, one that pends, a quiet one, and one that is switched off."""
    firing = watch(store, name="Cost", severity="critical", group_by=["model"], labels={"team": "a", "to/do": "~1"})
    pending = watch(store, name="Budget 100%", severity="high", **{"for": "1h"}, labels={"team": "b"})
    watch(store, name="Quiet", severity="high", labels={"team": "a"}, message="call the Owner", when=NEVER)
    off = watch(store, name="Off", severity="low")
    rules.toggle(store, off.id, by="ada", enabled=False, at=NOON - MINUTE)
    spend(store, NOON - SECOND, "2", model="opus")
    tick(store, [firing, pending, again(store, rules.every(store)[-1].id)], NOON)
    spend(store, NOON + MINUTE - SECOND, "0.1", model="haiku")
    tick(store, [firing], NOON + MINUTE)
    return firing


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("severity=high", ["Budget 100%", "Quiet"]),
        ("severity=critical,low", ["Cost", "Off"]),
        ("enabled=true", ["Budget 100%", "Cost", "Quiet"]),
        ("enabled=false", ["Off"]),
        ("state=firing", ["Cost"]),
        ("state=pending&state=paused", ["Budget 100%", "Off"]),
        ("state=normal", ["Quiet"]),
        ("state=error", []),
        ("label=team:a", ["Cost", "Quiet"]),
        ("label=team:a&label=to/do:~1", ["Cost"]),
        ("label=team:", []),
        ("q=100%25", ["Budget 100%"]),
        ("q=QUI", ["Quiet"]),
        ("q=owner", ["Quiet"]),
        ("q=%22team%22:%22b%22", ["Budget 100%"]),
        ("q=metric", []),
        ("state=normal,pending&severity=high&q=budget", ["Budget 100%"]),
        ("q=", ["Budget 100%", "Cost", "Off", "Quiet"]),
    ],
)
async def test_rules_are_found(api, watched, query, expected):
    assert await names(api, RULES, query) == expected


async def test_the_state_a_rule_is_found_by_is_the_one_it_shows(api, watched):
    for rule in (await ask(api, "GET", RULES))["items"]:
        found = await ask(api, "GET", f"{RULES}?state={rule['state']}&q={rule['id']}")
        assert found["items"] == [rule]


async def test_a_new_rule_is_normal_and_one_switched_off_before_it_ran_is_paused(api, store):
    watch(store, name="New")
    rules.toggle(store, watch(store, name="Off").id, by="ada", enabled=False)
    assert await names(api, RULES, "state=normal") == ["New"]
    assert await names(api, RULES, "state=paused") == ["Off"]


@pytest.fixture
def opened(store, watched):
    """Of one rule three open incidents, of another one; the newest first: Other, m2, m1, opus."""
    for n in (1, 2):
        spend(store, NOON + (n + 9) * MINUTE - SECOND, "2", model=f"m{n}")
        spend(store, NOON + (n + 9) * MINUTE - SECOND, "2", model="opus")
        tick(store, [watched], NOON + (n + 9) * MINUTE)
    other = watch(store, name="Other", severity="info", notify=[], labels={"team": "c"})
    tick(store, [other], NOON + 12 * MINUTE)
    found = incidents.active(store)
    assert [row["rule_name"] for row in found] == ["Other", "Cost", "Cost", "Cost"]
    incidents.acknowledge(store, [found[1]["id"]], by="ada", comment="Looking", at=NOON + 13 * MINUTE)
    return found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("severity=info", [0]),
        ("severity=critical,info", [0, 1, 2, 3]),
        ("status=acknowledged", [1]),
        ("status=firing", [0, 2, 3]),
        ("rule=ID", [1, 2, 3]),
        ("rule=nobody", []),
        ("channel=in-app", [1, 2, 3]),
        ("channel=mail", []),
        ("assignee=grace", [3]),
        ("q=M1", [2]),
        ("q=looking", [1]),
        ("from=2026-03-01T12:11:00Z", [0, 1]),
        ("rule=ID&status=firing&to=2026-03-01T12:11:00Z", [2, 3]),
    ],
)
async def test_open_incidents_are_found(api, store, opened, query, expected):
    await ask(api, "POST", f"/api/alerts/history/{opened[3]['id']}/assign", json={"assignee": "grace"})
    found = await whole(api, ACTIVE, query.replace("ID", opened[1]["rule_id"]))
    assert [each["id"] for each in found] == [opened[n]["id"] for n in expected]
    assert all("current_value" in each for each in found)


async def test_a_silent_notice_is_none_for_a_channel(api, store, opened):
    quiet = opened[2]["id"]
    store.transact([Statement("UPDATE notifications SET status = 'silent' WHERE alert_id = ?", (quiet,))])
    for path in (ACTIVE, "/api/alerts/history"):
        found = await whole(api, path, "channel=in-app")
        assert [each["id"] for each in found] == [opened[1]["id"], opened[3]["id"]]


@pytest.fixture
def channels(api, store):
    """Of two kinds; one is switched off, the receiver of another is gone, one rests, one failed long ago."""
    forms = {
        "webhook": {"url": "https://example.org/", "allow_private": True},
        "email": {"host": "mail.example.org", "sender": "a@example.org", "to": ["b@example.org"]},
    }
    for name, kind in (
        ("a", "webhook"),
        ("gone", "email"),
        ("mail", "email"),
        ("off", "webhook"),
        ("tired", "webhook"),
    ):
        document = {"name": name, "kind": kind, "enabled": name != "off", "config": forms[kind]}
        channel_store.create(store, api.desk.box, document, by="ada", at=NOON - MINUTE)
    store.transact([channel_rows.disabling("gone", reason="410", at=clock())])
    ended(store, *["failed"] * OPENS_AFTER, channel="tired")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("kind=email", ["gone", "mail"]),
        ("kind=webhook,in_app", ["a", "in-app", "off", "tired"]),
        ("enabled=false", ["gone", "off"]),
        ("enabled=true", ["a", "in-app", "mail", "tired"]),
        ("auto_disabled=true", ["gone"]),
        ("enabled=false&auto_disabled=false", ["off"]),
        ("breaker=half_open,open", ["tired"]),
        ("breaker=closed&kind=webhook", ["a", "off"]),
    ],
)
async def test_channels_are_found(api, channels, query, expected):
    assert await names(api, CHANNELS, query) == expected


@pytest.mark.parametrize(
    ("path", "query", "told"),
    [
        (RULES, "severity=grave", "severity must be among critical,"),
        (RULES, "state=on", "state must be among normal,"),
        (RULES, "enabled=yes", "enabled must be true or false, not 'yes'"),
        (RULES, "label=team", "label must be NAME:VALUE, not 'team'"),
        (RULES, "label=:a", "label must be NAME:VALUE"),
        (ACTIVE, "severity=grave", "severity must be among critical,"),
        (ACTIVE, "status=resolved", "status must be among firing, acknowledged, not 'resolved'"),
        (ACTIVE, "from=soon", "from must be a time"),
        (CHANNELS, "kind=pigeon", "kind must be among"),
        (CHANNELS, "auto_disabled=1", "auto_disabled must be true or false, not '1'"),
        (CHANNELS, "breaker=broken", "breaker must be among closed, open, half_open"),
    ],
)
async def test_what_there_is_not_is_refused(api, path, query, told):
    assert told in (await ask(api, "GET", f"{path}?{query}", 400))["detail"]
