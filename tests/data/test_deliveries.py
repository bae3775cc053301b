"""Groups of claims and results: one row that another sender has costs no other."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from data.errors import ConflictError
from data.queries import deliveries
from data.queries import notifications as rows
from data.queries.notifications import AttemptRow, NotificationRow

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)


def queued(store, name, **changes):
    row = NotificationRow(name, f"a-{name}", "r-1", "", "hook", "first", "pending", "{}", NOW, NOW)
    row = replace(row, **changes)
    store.transact([rows.adding(row)])
    return row


def attempt(row, number=1, at=NOW):
    return AttemptRow(f"{row.id}/{number}", row.id, row.channel, number, at)


def claim(store, *claims):
    store.transact(deliveries.claiming(claims, until=LATER))
    return deliveries.held(store, claims)


def statuses(store):
    return {row["id"]: (row["status"], row["claimed_by"]) for row in store.rows("SELECT * FROM notifications")}


def test_a_group_is_claimed_with_its_attempts_on_record(store):
    group = [queued(store, name) for name in "abc"]
    assert claim(store, *((row, attempt(row)) for row in group)) == {"a/1", "b/1", "c/1"}
    assert rows.due(store, NOW) == []
    made = rows.attempts(store, ["a", "b", "c"])
    assert made["result"].to_list() == ["sending"] * 3
    assert made["started_at"].to_list() == [NOW] * 3
    assert rows.by_id(store, "a").claimed_until == LATER


@pytest.mark.parametrize(
    "meanwhile",
    [
        pytest.param({"attempts": 1, "claimed_until": LATER}, id="another sender has it"),
        pytest.param({"status": "sent"}, id="it was sent"),
        pytest.param({"due_at": LATER}, id="it was put off"),
    ],
)
def test_what_is_no_longer_as_it_was_read_is_left_out_of_its_group(store, meanwhile):
    read = [queued(store, name) for name in "ac"]
    other = queued(store, "b", **meanwhile)
    stale = replace(other, attempts=0, status="pending", due_at=NOW, claimed_until=None)
    group = [read[0], stale, read[1]]
    assert claim(store, *((row, attempt(row)) for row in group)) == {"a/1", "c/1"}
    assert rows.by_id(store, "b") == other
    assert rows.attempts(store, ["b"]).height == 0


def test_an_attempt_without_a_result_is_ended_by_the_next_and_by_none_that_lost(store):
    group = [queued(store, name) for name in "ab"]
    claim(store, *((row, attempt(row)) for row in group))
    again = [replace(row, attempts=1) for row in group]
    stale = replace(again[1], attempts=3)
    at = NOW + timedelta(minutes=1)
    assert claim(store, (again[0], attempt(again[0], 2, at)), (stale, attempt(stale, 4, at))) == {"a/2"}
    assert rows.attempts(store, ["a", "b"])["result"].to_list() == ["unknown", "sending", "sending"]


def test_results_of_a_group_are_written_with_their_ends(store):
    group = [queued(store, name) for name in "ab"]
    made = [attempt(row) for row in group]
    claim(store, *zip(group, made, strict=True))
    sent = replace(made[0], result="sent", finished_at=LATER, status=200, duration_ms=1.5, answer='a\x00 " ü\n')
    retry = replace(made[1], result="retry", finished_at=LATER, error="no")
    store.transact(deliveries.settling([(sent, "sent", LATER), (retry, "pending", LATER)]))
    first, second = (rows.by_id(store, name) for name in "ab")
    assert (first.status, first.claimed_by, first.claimed_until, first.finished_at) == ("sent", "", None, LATER)
    assert (second.status, second.due_at, second.finished_at) == ("pending", LATER, None)
    found = [AttemptRow(**row) for row in rows.attempts(store, ["a", "b"]).to_dicts()]
    assert found == [sent, retry]


def test_results_of_a_group_with_a_lost_claim_change_nothing(store):
    group = [queued(store, name) for name in "ab"]
    made = [attempt(row) for row in group]
    claim(store, *zip(group, made, strict=True))
    before = statuses(store)
    ended = [replace(each, result="sent", finished_at=LATER) for each in made]
    with pytest.raises(ConflictError):
        store.transact(deliveries.settling([(ended[0], "sent", LATER), (replace(ended[1], id="b/9"), "sent", LATER)]))
    assert statuses(store) == before
