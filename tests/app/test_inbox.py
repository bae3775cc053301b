"""The inbox beside every page."""

from datetime import UTC, datetime, timedelta

import pytest

from app.controls import inbox as control
from data.queries import inbox
from data.queries.inbox import InboxRow
from engine.audit import new_id


def post(store, title="Budget core is spent", *, ago=timedelta(0), **more):
    row = InboxRow(new_id(), datetime.now(UTC) - ago, title, "All of $500.\nSince Monday.", "high", "firing", **more)
    store.transact([inbox.posting(row)])
    return row.id


def said(test):
    return " ".join(each.value for each in [*test.markdown, *test.caption])


def test_an_empty_one_says_what_comes_there(app):
    test = app("overview")
    assert not test.exception
    assert "Nothing has been told here yet" in said(test)
    assert not test.toast


def test_what_is_unread_is_counted_and_told_until_it_is_read(app, store):
    post(store, "Cost of [x](http://evil.example)", alert_id="a1", ago=timedelta(hours=2))
    post(store, "Worker: 3 evaluations were missed")
    test = app("rules")
    assert not test.exception
    assert r"Cost of \[x\]\(http\:" in said(test)
    assert "2 h ago" in said(test)
    assert said(test).count(":red[●]") == 2
    test.button(key="inbox-read").click().run()
    assert ":red[●]" not in said(test)
    assert inbox.unread(store) == 0
    assert [button.key for button in test.button if button.key == "inbox-read"] == []


def test_what_comes_while_one_looks_is_announced_once(app, store):
    post(store, "an old one")
    test = app("overview")
    assert not test.toast
    for number in range(control.TOASTS + 2):
        post(store, f"number {number}")
    test.run()
    assert [toast.value for toast in test.toast] == ["number 2", "number 3", "number 4"]
    test.run()
    assert not test.toast


def test_read_is_what_was_there_to_be_seen(store):
    first, second = post(store), post(store)
    store.transact([inbox.reading(None, up_to=first)])
    assert [row["id"] for row in inbox.messages(store, unread_only=True).to_dicts()] == [second]


@pytest.mark.parametrize(("seen", "told"), [(None, []), ("", ["a", "c"]), ("a", ["c"]), ("c", [])])
def test_new_is_what_came_after_the_newest_seen_and_was_not_read_elsewhere(seen, told):
    rows = [{"id": "c", "read_at": None}, {"id": "b", "read_at": datetime.now(UTC)}, {"id": "a", "read_at": None}]
    assert [row["id"] for row in control.fresh(rows, seen)] == told
