"""What counts when the store, the copy and a proxy's own decisions do not agree."""

import os
import stat
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from data import key_changes
from data.connection import Connection
from data.errors import StoreUnavailable
from data.keys import KeyDocument
from data.store import connect
from proxy.admission import key_watch
from proxy.admission.key_copy import KeyCopy, read_copy, write_copy
from proxy.admission.key_watch import KeyWatch, newest
from proxy.admission.keys import KeyRing
from tests.proxy.admission.keys import NOW, key


def away():
    raise StoreUnavailable("no store in this test")


def changed(stored, **document):
    new = stored.document.model_copy(update=document)
    later = stored.updated_at + timedelta(seconds=1)
    return stored.model_copy(update={"document": new, "version": stored.version + 1, "updated_at": later})


def watching(home: Path, store=away) -> tuple[KeyWatch, KeyRing]:
    ring = KeyRing()
    return KeyWatch(ring, home / "keys.json", store), ring


@pytest.fixture
def table(running, config):
    connection = Connection.open(config)
    yield connection
    connection.close()


def make(table, **document):
    return key_changes.create(table, KeyDocument(name="ci", **document), by="me", now=NOW)


def test_the_newer_version_wins_whichever_source_it_comes_from():
    old, _ = key()
    new = changed(old, enabled=False)
    assert newest({"ci": new}, [old]) == newest({"ci": old}, [new]) == {"ci": new}


async def test_a_disabled_key_is_not_brought_back_by_an_older_copy(home: Path):
    old, text = key()
    watch, ring = watching(home)
    watch.apply(old)
    watch.apply(changed(old, enabled=False))
    write_copy(home / "keys.json", KeyCopy(keys=(old,)))  # a sibling that had read the store before
    watch.read_copy()
    assert ring.find(text).enabled is False


async def test_the_copy_is_its_owners_alone_and_holds_no_secret(home: Path):
    stored, text = key()
    watching(home)[0].apply(stored)
    copy = home / "keys.json"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert text not in copy.read_text()


@pytest.mark.parametrize("content", [b"", b"[", b'{"a": 1}', b"\xff\xfe", b'{"keys": [{"document": {}}]}'])
async def test_a_copy_that_cannot_be_read_changes_nothing(home: Path, content: bytes):
    stored, text = key()
    watch, ring = watching(home)
    watch.apply(stored)
    (home / "keys.json").write_bytes(content)
    os.utime(home / "keys.json", ns=(1, 1))
    watch.read_copy()
    assert ring.find(text) is not None


async def test_a_copy_that_cannot_be_written_does_not_stop_a_change(home: Path):
    stored, text = key()
    watch, ring = watching(home / "no" / "such" / "folder")
    watch.apply(stored)
    assert ring.find(text) is not None


async def test_a_key_switched_off_while_the_store_is_away_stays_off_after_a_restart(home: Path):
    stored, text = key()
    watch, ring = watching(home)
    watch.apply(stored)
    assert watch.switch_off("ci", by="ann", at=NOW).document.enabled is False
    assert ring.find(text).enabled is False
    again, ring = watching(home)
    again.read_copy()
    assert ring.find(text).enabled is False
    assert again.get("ci").document.enabled is False


async def test_the_store_is_told_when_it_is_back_by_whichever_proxy_is_there(home: Path, table):
    made, text = make(table)
    watch, _ = watching(home)
    watch.apply(made)
    watch.switch_off("ci", by="ann", at=NOW)
    restarted, ring = watching(home, lambda: table)
    restarted.read_copy()
    await restarted.refresh()
    stored = key_changes.get(table, "ci")
    assert (stored.document.enabled, stored.version) == (False, 2)
    assert ring.find(text).enabled is False
    assert read_copy(home / "keys.json").decided == ()
    lines = table.rows("SELECT actor, action FROM audit_log ORDER BY id")
    assert [tuple(line.values()) for line in lines] == [("me", "key.create"), ("ann", "key.disable")]


async def test_what_was_changed_meanwhile_is_not_undone_by_the_decision(home: Path, table):
    made, old = make(table)
    watch, ring = watching(home, lambda: table)
    watch.apply(made)
    watch.switch_off("ci", by="ann", at=NOW)
    _, new = key_changes.rotate(table, "ci", by="me", now=NOW, overlap=timedelta(0))
    key_changes.replace(table, "ci", KeyDocument(name="ci", team="core"), by="me", now=NOW)
    await watch.refresh()
    stored = key_changes.get(table, "ci")
    assert (stored.document.team, stored.document.enabled) == ("core", False)
    assert ring.find(old) is None
    assert ring.find(new).enabled is False


async def test_a_key_revoked_meanwhile_needs_no_telling(home: Path, table):
    made, text = make(table)
    watch, ring = watching(home, lambda: table)
    watch.apply(made)
    watch.switch_off("ci", by="ann", at=NOW)
    key_changes.revoke(table, "ci", by="me", now=NOW)
    await watch.refresh()
    assert ring.find(text) is None
    assert read_copy(home / "keys.json").decided == ()


async def test_a_key_enabled_again_is_no_longer_decided_on(home: Path, table):
    made, text = make(table)
    watch, ring = watching(home, lambda: table)
    watch.apply(made)
    watch.switch_off("ci", by="ann", at=NOW)
    watch.apply(key_changes.switch(table, "ci", enabled=True, by="ann", now=NOW), enabled_at=NOW)
    await watch.refresh()
    assert ring.find(text).enabled
    assert key_changes.get(table, "ci").document.enabled


@pytest.mark.parametrize("asked", [None, NOW - timedelta(seconds=1)], ids=["of something else", "before"])
async def test_a_change_that_was_asked_for_otherwise_does_not_enable_a_key_that_was_switched_off(
    home: Path, table, asked: datetime | None
):
    made, text = make(table)
    watch, ring = watching(home, lambda: table)
    watch.apply(made)
    watch.switch_off("ci", by="ann", at=NOW)
    watch.apply(
        key_changes.replace(table, "ci", KeyDocument(name="ci", team="core"), by="me", now=NOW), enabled_at=asked
    )
    assert ring.find(text).enabled is False
    assert [each.name for each in read_copy(home / "keys.json").decided] == ["ci"]
    await watch.refresh()
    stored = key_changes.get(table, "ci").document
    assert (stored.team, stored.enabled) == ("core", False)


def test_an_older_change_that_is_heard_of_later_undoes_nothing(home: Path):
    stored, text = key("ci")
    watch, ring = watching(home)
    watch.apply(changed(stored, enabled=False))
    watch.apply(stored)
    assert ring.find(text).enabled is False


async def test_a_siblings_decision_is_taken_over_and_dropped_with_it(home: Path, table):
    made, text = make(table)
    (one, _), (other, ring) = watching(home, lambda: table), watching(home)
    one.apply(made)
    one.switch_off("ci", by="ann", at=NOW)
    other.read_copy()
    assert ring.find(text).enabled is False
    await one.refresh()
    one.apply(key_changes.switch(table, "ci", enabled=True, by="ann", now=NOW))
    other.read_copy()
    assert ring.find(text).enabled


async def test_decisions_of_two_proxies_at_once_both_hold(home: Path):
    (a, _), (b, _) = key("a"), key("b")
    (one, _), (other, _) = watching(home), watching(home)
    for watch in (one, other):
        watch.apply(a)
        watch.apply(b)
    one.switch_off("a", by="ann", at=NOW)
    other.switch_off("b", by="ann", at=NOW)  # it has not read the copy since
    one.read_copy()
    other.read_copy()
    for watch in (one, other):
        assert [key.document.enabled for key in watch.keys] == [False, False]
    assert {each.name for each in read_copy(home / "keys.json").decided} == {"a", "b"}


async def test_a_store_that_hangs_holds_up_nobody_and_one_thread(home: Path, monkeypatch):
    monkeypatch.setattr(key_watch, "PATIENCE_S", 0.05)
    stored, text = key()
    asked, goes_on = [], threading.Event()

    class Hanging:
        def rows(self, *_args, **_more):
            asked.append(1)
            goes_on.wait(30)
            raise StoreUnavailable("gone")

    watch, ring = watching(home, Hanging)
    write_copy(home / "keys.json", KeyCopy(keys=(stored,)))
    for _ in range(3):
        await watch.refresh()
    assert len(asked) == 1
    watch.read_copy()
    assert ring.find(text) is not None
    goes_on.set()
    while len(asked) < 2:  # that look ended, and the next one begins
        await watch.refresh()


def test_the_client_of_the_whole_store_serves_too(running, config):
    store = connect(config)
    made, _ = make(store)
    assert key_changes.get(store, "ci") == made
    store.close()
