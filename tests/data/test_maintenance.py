import logging
import shutil
from datetime import timedelta

import pytest

from data import maintenance
from data.maintenance import maintain
from data.records import record_table
from tests.data.ledger import NOON, record
from tests.engine.receivers import until


def put(store, first, last):
    rows = record_table([record(number) for number in range(first, last + 1)])
    store.put(rows, spool_id="s", first=first, last=last)


def test_a_log_that_has_grown_is_moved_into_the_file(store, running, monkeypatch):
    put(store, 1, 5)
    maintain(running.database, running.service, NOON)
    assert store.ping().wal_bytes > 0  # too small to bother
    monkeypatch.setattr(maintenance, "CHECKPOINT_BYTES", 1)
    maintain(running.database, running.service, NOON)
    assert store.ping().wal_bytes == 0
    assert store.sql("SELECT count(*) FROM requests").item() == 5


def test_a_log_is_moved_also_where_the_merging_fails(store, running, monkeypatch):
    put(store, 1, 5)
    monkeypatch.setattr(maintenance, "CHECKPOINT_BYTES", 1)
    monkeypatch.setattr(maintenance, "compact", failing)
    with pytest.raises(LookupError):
        maintain(running.database, running.service, NOON)
    assert store.ping().wal_bytes == 0
    assert {name: (work.ok, work.result) for name, work in running.service.work.items()} == {
        "compaction": (False, "no such rollup"),
        "checkpoint": (True, "the log is in the file"),
    }


def test_what_goes_on_is_known_with_since_when(store, running, monkeypatch):
    seen = []

    def looked(*_):
        seen.extend(store.ping().work)
        return 0

    monkeypatch.setattr(maintenance, "compact", looked)
    maintain(running.database, running.service, NOON)
    monkeypatch.setattr(maintenance, "compact", failing)
    with pytest.raises(LookupError):
        maintain(running.database, running.service, NOON)
    at_work = [(work.name, work.running_since, work.runs) for work in seen if work.running_since]
    assert at_work == [("compaction", NOON, 0)]
    (work,) = [work for work in store.ping().work if work.name == "compaction"]
    assert (work.running_since, work.runs, work.failures) == (None, 2, 1)


def failing(*_):
    raise LookupError("no such rollup")


async def test_no_failure_ends_it(running, monkeypatch):
    monkeypatch.setattr(maintenance, "_PERIOD_S", 0.01)
    monkeypatch.setattr(maintenance, "compact", failing)
    upkeep = maintenance.Maintenance(running.database, running.service)
    try:
        await until(lambda: "compaction" in running.service.work and running.service.work["compaction"].failures >= 3)
    finally:
        upkeep.stop()


def test_without_room_on_the_disk_no_checkpoint_is_begun(store, running, monkeypatch, caplog):
    put(store, 1, 5)
    before = store.ping().wal_bytes
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 99, 1))
    with caplog.at_level(logging.WARNING):
        store.checkpoint()
    assert "too little free disk space" in caplog.text
    assert store.ping().wal_bytes == before


def test_closed_hours_are_merged_by_the_way(store, running, caplog):
    put(store, 2, 2)
    rows = record_table([record(2)])
    store.put(rows, spool_id="other", first=1, last=1)
    with caplog.at_level(logging.INFO):
        maintain(running.database, running.service, NOON + timedelta(days=3))
    assert "merged rollups" in caplog.text
    assert store.sql("SELECT count(*), sum(requests) FROM usage_hour").row(0) == (1, 2)
