"""What the figures count, whatever happens afterwards."""

import pytest

from data.queries import alerts
from data.queries import notifications as notification_rows
from engine import handling, incidents, outbox, sample
from engine.audit import new_id
from engine.statistics import statistics
from engine.sweep import sweep
from engine.tick import tick
from tests.engine.test_ration import HOUR, hook, watching
from tests.engine.traffic import MINUTE, NOON, SECOND, rows, spend, watch

__all__ = ["hook"]


def counted(store):
    return statistics(store, NOON - HOUR, NOON + HOUR)


def firing(store):
    """The id of an open incident."""
    rule = watch(store)
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    return rows(store, "alerts", "id")[-1][0]


def test_what_was_held_back_counts_as_that_when_a_digest_has_told_it_too(store, hook):
    rules = watching(store, "a", "b", "c", "d", "e")
    spend(store, NOON - SECOND, "2")
    tick(store, rules, NOON)
    assert counted(store).suppressed == [{"reason": "rate_limited", "n": 3}]

    assert sweep(store, NOON + MINUTE) == 1

    assert counted(store).suppressed == [{"reason": "rate_limited", "n": 3}]


def test_what_goes_together_at_once_was_not_held_back(store, hook):
    (rule,) = watching(store, "a", group_by=["model"])
    for model in "xyz":
        spend(store, NOON - SECOND, "2", model=model)
    tick(store, [rule], NOON)
    assert ("first", "bundled") in rows(store, "notifications", "reason", "status")
    assert counted(store).suppressed == []


@pytest.mark.parametrize("again", ["acknowledged", "put off", "let go"])
def test_the_time_to_acknowledge_is_that_of_the_first_time(store, again):
    alert_id = firing(store)
    incidents.acknowledge(store, [alert_id], by="ada", at=NOON + MINUTE)
    later = NOON + 20 * MINUTE
    if again == "acknowledged":
        incidents.acknowledge(store, [alert_id], by="grace", at=later)
    elif again == "put off":
        handling.snooze(store, [alert_id], by="grace", until=later + HOUR, at=later)
    else:
        store.transact([alerts.releasing(alert_id)])

    assert counted(store).mtta_s == 60
    last = {"let go": [(None, "")]}.get(again, [(later, "grace")])
    assert rows(store, "alerts", "acknowledged_at", "acknowledged_by") == last


def test_tests_of_a_channel_are_no_deliveries(store):
    firing(store)
    tried = outbox.queued(new_id(), sample.of_channel(NOON), channel="in-app", at=NOON)
    store.transact([notification_rows.adding(tried)])
    found = [(row["channel"], row["status"], row["n"]) for row in counted(store).deliveries]
    assert found == [("in-app", "pending", 1)]
