from datetime import timedelta

import pytest

from engine import silences
from engine.errors import NotFound, Refused, StaleVersion
from engine.tick import tick
from tests.engine.traffic import MINUTE, NOON, SECOND, rows, spend, watch

HOUR = timedelta(hours=1)


def silence(store, matchers, **options):
    return silences.create(store, matchers, by="ada", now=NOON - MINUTE, **{"ends_at": NOON + 3 * MINUTE, **options})


@pytest.mark.parametrize(
    ("matchers", "quiet"),
    [
        ({"rule": "High cost"}, True),
        ({"rule": "High*", "severity": "high"}, True),
        ({"model": "opus"}, True),
        ({"model": "op*"}, True),
        ({"model": "sonnet"}, False),
        ({"model": "opus", "severity": "low"}, False),
        ({"team": "*"}, True),
        ({"team": "?*"}, False),
    ],
)
def test_a_matching_incident_is_recorded_and_told_to_nobody(store, matchers, quiet):
    rule = watch(store, group_by=["model"])
    silence(store, matchers)
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    assert rows(store, "alerts", "status") == [("firing",)]
    expected = ("silenced", "silent") if quiet else ("first", "pending")
    assert rows(store, "notifications", "reason", "status") == [expected]


def test_what_still_fires_when_the_silence_ends_is_told_then(store):
    rule = watch(store)
    silence(store, {"rule": "High cost"})
    spend(store, NOON - SECOND, "2")
    for n in range(5):
        tick(store, [rule], NOON + n * MINUTE)
    assert rows(store, "notifications", "reason", "created_at") == [("silenced", NOON), ("first", NOON + 3 * MINUTE)]


def test_a_silence_can_be_ended_early_and_only_once(store):
    made = silence(store, {"rule": "*"})
    silences.end(store, made.id, by="ada", now=NOON)
    assert silences.at(store, NOON) == ()
    with pytest.raises(Refused):
        silences.end(store, made.id, by="ada", now=NOON)
    with pytest.raises(NotFound):
        silences.end(store, "nobody", by="ada", now=NOON)


@pytest.mark.parametrize(
    ("matchers", "options"),
    [({}, {}), ({"rule": "x"}, {"ends_at": NOON - HOUR}), ({"rule": "x"}, {"starts_at": NOON + HOUR})],
)
def test_a_silence_needs_a_matcher_and_a_time(store, matchers, options):
    with pytest.raises(Refused):
        silence(store, matchers, **options)


def test_a_silence_ends_later_or_sooner_and_says_something_else(store):
    made = silence(store, {"rule": "*"}, comment="move")
    later = silences.change(store, made.id, by="grace", ends_at=NOON + HOUR, version=1, now=NOON)
    assert (later.ends_at, later.version, later.comment, later.author) == (NOON + HOUR, 2, "move", "ada")
    sooner = silences.change(store, made.id, by="grace", ends_at=NOON + MINUTE, comment="", now=NOON)
    assert sooner == silences.get(store, made.id)
    assert (sooner.ends_at, sooner.version, sooner.comment, sooner.matchers) == (NOON + MINUTE, 3, "", {"rule": "*"})
    assert silences.at(store, NOON + 2 * MINUTE) == ()
    lines = rows(store, "audit_log", "actor", "action", "object_id")
    assert lines == [("ada", "create", made.id), *[("grace", "update", made.id)] * 2]


def test_what_a_longer_silence_covers_is_told_when_that_ends(store):
    rule = watch(store)
    made = silence(store, {"rule": "High cost"})
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    silences.change(store, made.id, by="ada", ends_at=NOON + 4 * MINUTE, now=NOON + MINUTE)
    for n in range(1, 5):
        tick(store, [rule], NOON + n * MINUTE)
    assert rows(store, "notifications", "reason", "created_at") == [("silenced", NOON), ("first", NOON + 4 * MINUTE)]


def test_one_that_has_not_begun_can_change_altogether(store):
    made = silence(store, {"rule": "a"}, starts_at=NOON + MINUTE)
    moved = silences.change(store, made.id, by="ada", matchers={"rule": "b"}, starts_at=NOON + 2 * MINUTE, now=NOON)
    assert (moved.matchers, moved.starts_at) == ({"rule": "b"}, NOON + 2 * MINUTE)
    assert silences.change(store, made.id, by="ada", starts_at=NOON - HOUR, now=NOON).starts_at == NOON


@pytest.mark.parametrize(
    "changes",
    [
        {"matchers": {"rule": "b"}},
        {"matchers": {}},
        {"starts_at": NOON - HOUR},
        {"starts_at": NOON + MINUTE},
        {"ends_at": NOON},
        {"ends_at": NOON - HOUR},
        {"comment": "too late", "now": NOON + 3 * MINUTE},
        {"ends_at": NOON + HOUR, "now": NOON + 3 * MINUTE},
    ],
    ids=["others", "all", "before", "later", "now", "in the past", "over", "over and longer"],
)
def test_what_is_on_record_does_not_change(store, changes):
    made = silence(store, {"rule": "a"})
    with pytest.raises(Refused):
        silences.change(store, made.id, **{"by": "ada", "now": NOON, **changes})
    assert silences.get(store, made.id) == made


def test_a_change_of_what_has_changed_meanwhile_is_a_conflict(store, monkeypatch):
    made = silence(store, {"rule": "a"})
    silences.change(store, made.id, by="grace", comment="mine", now=NOON)
    for act in (silences.change, silences.end):
        with pytest.raises(StaleVersion, match="at version 2, not 1") as caught:
            act(store, made.id, by="ada", version=1, now=NOON)
        assert caught.value.current == 2
        with pytest.raises(NotFound):
            act(store, "nobody", by="ada", now=NOON)
    monkeypatch.setattr(
        silences, "_row", lambda *_: silences.rows.SilenceRow(made.id, "{}", *[made.ends_at] * 2, *[""] * 2, NOON)
    )
    with pytest.raises(StaleVersion, match="meanwhile"):
        silences.end(store, made.id, by="ada", now=NOON)
    assert len(rows(store, "audit_log", "id")) == 2
