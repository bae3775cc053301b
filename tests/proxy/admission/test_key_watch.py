"""Which version of a key counts when its sources do not agree."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from data.errors import StoreUnavailable
from proxy.admission.key_watch import KeyWatch, newest, write_copy
from proxy.admission.keys import KeyRing
from tests.proxy.admission.keys import key


def away():
    raise StoreUnavailable("no store in this test")


def changed(stored, **document):
    new = stored.document.model_copy(update=document)
    later = stored.updated_at + timedelta(seconds=1)
    return stored.model_copy(update={"document": new, "version": stored.version + 1, "updated_at": later})


def test_the_newer_version_wins_whichever_source_it_comes_from():
    old, _ = key()
    new = changed(old, enabled=False)
    assert newest({"ci": new}, [old]) == newest({"ci": old}, [new]) == {"ci": new}


async def test_a_disabled_key_is_not_brought_back_by_an_older_copy(home: Path):
    old, text = key()
    ring, copy = KeyRing(), home / "keys.json"
    watch = KeyWatch(ring, copy, away)
    watch.apply(old)
    watch.apply(changed(old, enabled=False))
    write_copy(copy, [old])  # a sibling that had read the store before
    watch.read_copy()
    assert ring.find(text).enabled is False


async def test_the_copy_is_its_owners_alone_and_holds_no_secret(home: Path):
    stored, text = key()
    copy = home / "keys.json"
    KeyWatch(KeyRing(), copy, away).apply(stored)
    assert copy.stat().st_mode & 0o077 == 0
    assert text not in copy.read_text()


@pytest.mark.parametrize("content", [b"", b"[", b'{"a": 1}', b"\xff\xfe", b'[{"document": {}}]'])
async def test_a_copy_that_cannot_be_read_changes_nothing(home: Path, content: bytes):
    stored, text = key()
    ring, copy = KeyRing(), home / "keys.json"
    watch = KeyWatch(ring, copy, away)
    watch.apply(stored)
    copy.write_bytes(content)
    os.utime(copy, ns=(1, 1))
    watch.read_copy()
    assert ring.find(text) is not None


async def test_a_copy_that_cannot_be_written_does_not_stop_a_change(home: Path):
    stored, text = key()
    ring = KeyRing()
    KeyWatch(ring, home / "no" / "such" / "folder" / "keys.json", away).apply(stored)
    assert ring.find(text) is not None
