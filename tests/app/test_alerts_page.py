"""The Alerts page: what fired, one incident's story, and what a link to one shows."""

from datetime import UTC, datetime, timedelta

import pytest

from app.controls import alert_link, bulk
from data.store import Statement
from engine import handling, incidents, rules
from engine.cadences import instant
from engine.tick import tick
from tests.app.test_rules_page import words

RULE = {
    "name": "Busy [x](http://evil.example)",
    "severity": "critical",
    "when": {"all": [{"metric": "cost", "window": "7d", "op": ">", "value": 1}]},
    "group_by": ["provider"],
    "notify": ["in-app"],
}


@pytest.fixture
def fired(store, full) -> list[str]:
    """A rule that fires for each provider; the ids of its incidents."""
    stored = rules.save(store, RULE, by="me")
    tick(store, [rules.watched_by_id(store, stored.id)], instant(datetime.now(UTC)))
    return [row["id"] for row in incidents.active(store)]


def test_without_incidents_it_says_why_and_where_rules_are_made(app):
    test = app("alerts")
    assert not test.exception
    assert "No incidents here" in words(test)
    assert "Rules page" in words(test)


def test_incidents_are_in_the_grid_and_nothing_is_chosen(app, fired):
    test = app("alerts")
    assert not test.exception
    assert len(fired) == 2
    assert "Tick incidents" in words(test)
    assert test.button(key="bulk-ack").disabled
    assert test.button(key="bulk-resolve").disabled


def test_a_link_tells_the_incidents_story_in_the_metrics_unit(app, fired):
    test = app("alerts", alert=fired[0])
    assert not test.exception
    said = words(test)
    assert r"against \$1.00" in said
    assert "first notice of the incident" in said
    assert r"\[x\]" in said
    assert test.get("plotly_chart")
    test.button(key="close-incident").click().run()
    assert r"against \$1.00" not in words(test)
    assert "alert" not in test.query_params


def test_a_link_to_an_incident_outside_the_filters_still_tells_it(app, fired):
    test = app("alerts", **{"alert": fired[0], "alert-status": "resolved"})
    assert "No incidents here" in words(test)
    assert r"against \$1.00" in words(test)


def test_a_link_to_no_incident_says_so(app):
    test = app("alerts", alert="nonsense")
    assert not test.exception
    assert "There is no such incident" in words(test)


def test_a_story_is_told_without_its_rule(app, fired, store):
    (rule,) = rules.every(store)
    rules.delete(store, rule.id, by="me")
    test = app("alerts", alert=fired[0])
    assert not test.exception
    assert "Its rule is gone" in words(test)
    assert "the rule was deleted" in words(test)


def test_what_people_did_is_part_of_the_story(app, fired, store):
    incidents.acknowledge(store, fired[:1], by="Ann", comment="*looking*")
    incidents.resolve(store, fired[:1], by="Bob", at=datetime.now(UTC) + timedelta(seconds=1))
    said = words(app("alerts", alert=fired[0]))
    assert "Acknowledged] by Ann" in said
    assert r"\*looking\*" in said
    assert "by Bob" in said


def test_the_thread_the_assignee_and_flapping_are_part_of_the_story(app, fired, store):
    handling.comment(store, fired[:1], by="Ann", comment="*the batch job*")
    handling.assign(store, fired[:1], by="Ann", assignee="Bob", comment="yours")
    incidents.acknowledge(store, fired[:1], by="Bob", comment="on it")
    store.transact([Statement("UPDATE alerts SET flapping = true")])
    said = words(app("alerts", alert=fired[0]))
    assert r"Ann: \*the batch job\*" in said
    assert "Ann: yours" in said
    assert "Assigned to Bob." in said
    assert said.count("on it") == 1
    assert "Flapping]" in said


def test_a_story_that_is_cut_says_so(app, fired, store, monkeypatch):
    for text in ("one", "two"):
        handling.comment(store, fired[:1], by="Ann", comment=text)
    incidents.resolve(store, fired[:1], by="Bob")  # its channel hears of that too
    whole = words(app("alerts", alert=fired[0]))
    assert "these are the" not in whole
    monkeypatch.setattr(incidents, "MOST", 1)
    said = words(app("alerts", alert=fired[0]))
    assert "There are more comments; these are the first 1." in said
    assert "There are more; these are the newest 1." in said


@pytest.mark.parametrize(("label", "status"), [("Acknowledge", "acknowledged"), ("Resolve", "resolved")])
def test_what_was_asked_for_is_confirmed_with_a_name_and_done(app, fired, store, label, status):
    test = app("alerts")
    test.session_state[bulk.ASKED] = (label, fired)
    test.run()
    test.text_input(key="actor").set_value("Ann")
    test.text_area(key="bulk-comment").set_value("seen")
    next(each for each in test.button if each.label == f"{label} 2 incidents").click().run()
    assert not test.exception
    assert test.toast[0].value == f"{status.capitalize()} 2."
    found = [incidents.detail(store, each).alert for each in fired]
    assert {(row["status"], row["comment"]) for row in found} == {(status, "seen")}


@pytest.mark.parametrize(
    ("chosen", "before", "linked", "told"),
    [
        ([], [], "", ""),
        ([], [], "a", "a"),
        (["b"], [], "a", "b"),
        (["b", "c"], ["b"], "b", ""),
        ([], ["b"], "b", ""),
    ],
    ids=["nothing", "a link", "a choice over a link", "several", "unchosen"],
)
def test_whose_story_is_told(chosen, before, linked, told):
    assert alert_link.told(chosen, before, linked) == told
