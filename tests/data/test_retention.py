"""What goes with incidents when it is old: comments, silences, versions of rules that are gone."""

from datetime import timedelta

import pytest

from data.retention import Cut, count, drop
from engine import handling, incidents, rules, silences
from engine.tick import tick
from tests.engine.traffic import COSTLY, NOON, SECOND, rows, spend, watch

DAY = timedelta(days=1)


@pytest.fixture
def cut(store):
    """Drop what of the incidents is from before a time."""

    def dropped(before):
        wanted = Cut("incidents", before)
        told = count(store, wanted)
        done = drop(store, wanted)
        assert done == told
        return {table: n for table, n in done.items() if n}

    return dropped


def test_comments_go_with_their_incident_and_those_of_an_open_one_stay(store, cut):
    tick_of(store, "ended", "going on")
    found = dict(rows(store, "alerts", "rule_name", "id"))
    handling.comment(store, list(found.values()), by="ada", comment="hm", at=NOON)
    incidents.resolve(store, [found["ended"]], by="ada", comment="done", at=NOON)
    assert cut(NOON) == {}
    assert {"alerts": 1, "alert_comments": 2}.items() <= cut(NOON + DAY).items()
    assert rows(store, "alert_comments", "alert_id", "text") == [(found["going on"], "hm")]


def test_a_silence_goes_when_it_is_over_for_long_enough(store, cut):
    for days in (1, 2, 3):
        start, end = NOON - 9 * DAY, NOON - days * DAY
        silences.create(store, {"rule": str(days)}, starts_at=start, ends_at=end, by="ada", now=start)
    silences.create(store, {"rule": "lasting"}, starts_at=NOON - 9 * DAY, ends_at=NOON + DAY, by="ada", now=NOON)
    assert cut(NOON - 2 * DAY) == {"silences": 1}
    assert [matchers for (matchers,) in rows(store, "silences", "matchers")] == [
        '{"rule":"1"}',
        '{"rule":"2"}',
        '{"rule":"lasting"}',
    ]


def test_versions_stay_while_there_is_the_rule_or_an_incident_of_it(store, cut):
    ended, kept = tick_of(store, "ended", "kept")
    rules.save(store, {**COSTLY, "name": "never fired"}, by="ada", at=NOON)
    idle = store.sql("SELECT id FROM rules WHERE name = 'never fired'")["id"][0]
    for rule_id in (ended, idle):
        rules.delete(store, rule_id, by="ada", at=NOON + SECOND)
    assert cut(NOON + SECOND).get("rule_versions") == 1
    assert versions(store) == {ended, kept}
    assert cut(NOON + DAY)["alerts"] == 1
    assert cut(NOON + DAY) == {"rule_versions": 1}
    assert versions(store) == {kept}


def tick_of(store, *names):
    """Let rules of these names fire; their ids."""
    watched = [watch(store, name=name) for name in names]
    spend(store, NOON - SECOND, "2")
    tick(store, watched, NOON)
    return [one.id for one in watched]


def versions(store):
    return set(store.sql("SELECT rule_id FROM rule_versions")["rule_id"])
