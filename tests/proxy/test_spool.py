import errno
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from data.model import LedgerRecord, Outcome, RequestStart
from proxy.segments import Kind, encoded, examine
from proxy.spool import Spool, SpoolBusy, SpoolFull
from proxy.spool_tail import TAIL_RECORDS
from tests.forks import Forked
from tests.proxy.spool_samples import NOW, durable, ended, estimated, ids, opened, started, until


def fill(spool: Spool, *names: str) -> list[int]:
    for name in names:
        spool.start(started(name))
    return [spool.end(ended(name)) for name in names]


def logs(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("segment-*"))


def test_records_come_back_as_they_went_in_numbered_from_one(tmp_path):
    with opened(tmp_path) as spool:
        assert fill(spool, "a", "b", "c") == [1, 2, 3]
        assert durable(spool) == [ended("a"), ended("b"), ended("c")]
        assert spool.read(1, 1) == (2, [ended("b")])
        assert spool.read(3, 10) == (4, [])


def test_a_record_without_a_start_is_kept(tmp_path):
    with opened(tmp_path) as spool:
        assert spool.end(ended("refused")) == 1
        assert ids(durable(spool)) == ["refused"]


def test_records_outlive_the_process(tmp_path):
    with opened(tmp_path) as spool:
        name = spool.spool_id
        fill(spool, "a", "b")
    with opened(tmp_path) as spool:
        assert spool.spool_id == name
        assert ids(durable(spool)) == ["a", "b"]
        assert fill(spool, "c") == [3]
        assert ids(durable(spool)) == ["a", "b", "c"]


def test_what_was_acknowledged_is_not_given_out_again(tmp_path):
    with opened(tmp_path) as spool:
        fill(spool, "a", "b", "c")
        spool.acknowledged(2)
        assert spool.shipped == 2
    with opened(tmp_path) as spool:
        assert spool.shipped == 2
        assert ids(durable(spool)) == ["c"]


def test_an_older_acknowledgement_takes_nothing_back(tmp_path):
    with opened(tmp_path) as spool:
        fill(spool, "a", "b")
        spool.acknowledged(2)
        spool.acknowledged(1)
        assert spool.shipped == 2


def test_a_start_without_an_end_becomes_an_interrupted_record_once(tmp_path):
    with opened(tmp_path) as spool:
        spool.start(started("lost"))
        fill(spool, "a")
        assert spool.backlog().in_flight == 1
    for _ in range(3):
        with opened(tmp_path) as spool:
            assert spool.backlog().in_flight == 0
            first, second = durable(spool)
            assert (first.id, second.id) == ("a", "lost")
            assert (second.outcome, second.ended_at) == (Outcome.INTERRUPTED, NOW + 5)


def test_an_interrupted_request_does_not_end_before_it_began(tmp_path):
    with opened(tmp_path) as spool:
        spool.start(started("lost", started_at=NOW + 99))
    with opened(tmp_path) as spool:
        assert durable(spool)[0].ended_at == NOW + 99


def test_only_one_process_has_the_spool(tmp_path):
    with opened(tmp_path), pytest.raises(SpoolBusy, match="another process"):
        Spool.open(tmp_path, now_us=NOW, estimate=estimated)
    with opened(tmp_path) as spool:
        assert spool.next_sequence == 1


def test_a_full_segment_is_followed_by_another_and_read_across(tmp_path):
    names = [f"r{n}" for n in range(50)]
    with opened(tmp_path, segment_bytes=2000) as spool:
        fill(spool, *names)
        assert len(logs(tmp_path)) > 5
        assert ids(durable(spool)) == names
    with opened(tmp_path, segment_bytes=2000) as spool:
        assert ids(durable(spool)) == names


def test_shipped_segments_are_deleted_and_the_numbers_go_on(tmp_path):
    with opened(tmp_path, segment_bytes=2000) as spool:
        fill(spool, *(f"r{n}" for n in range(50)))
        durable(spool)
        spool.acknowledged(50)
        assert len(logs(tmp_path)) == 1
        assert spool.backlog().bytes == 0
    for _ in range(3):
        with opened(tmp_path) as spool:
            assert spool.next_sequence == 51
            assert spool.backlog().records == 0


def test_segments_stay_while_an_older_request_is_in_flight(tmp_path):
    with opened(tmp_path, segment_bytes=2000) as spool:
        spool.start(started("long"))
        fill(spool, *(f"r{n}" for n in range(50)))
        durable(spool)
        before = logs(tmp_path)
        spool.acknowledged(50)
        assert logs(tmp_path) == before
        spool.end(ended("long"))
        durable(spool)
        spool.acknowledged(51)
        assert len(logs(tmp_path)) == 1


def test_segments_stay_while_records_wait_for_the_store(tmp_path):
    with opened(tmp_path, segment_bytes=2000) as spool:
        fill(spool, *(f"r{n}" for n in range(50)))
        durable(spool)
        spool.acknowledged(25)
        assert ids(durable(spool)) == [f"r{n}" for n in range(25, 50)]
        assert len(logs(tmp_path)) > 3


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["deleted", "emptied"])
def test_a_spool_that_lost_its_segments_gets_a_new_name(tmp_path, lose):
    with opened(tmp_path) as spool:
        name = spool.spool_id
        fill(spool, "a")
    for path in tmp_path.glob("segment-*"):
        lose(path)
    with opened(tmp_path) as spool:
        # under its old name its numbers would count as arrived already
        assert spool.spool_id != name
        assert spool.next_sequence == 1


def test_the_backlog_says_what_waits(tmp_path):
    with opened(tmp_path) as spool:
        assert spool.backlog().oldest_us is None
        spool.start(started("x"))
        spool.end(ended("a", ended_at=NOW + 1))
        spool.end(ended("b", ended_at=NOW + 2))
        backlog = spool.backlog()
        assert (backlog.records, backlog.oldest_us, backlog.in_flight) == (2, NOW + 1, 1)
        assert backlog.bytes == sum(examine(path.read_bytes()).good_until for path in tmp_path.glob("segment-*"))
        durable(spool)
        spool.acknowledged(1)
        assert spool.backlog().oldest_us == NOW + 2
        spool.acknowledged(2)
        assert (spool.backlog().records, spool.backlog().bytes, spool.backlog().oldest_us) == (0, 0, None)


def test_text_that_is_no_unicode_is_repaired_and_stored(tmp_path):
    with opened(tmp_path) as spool:
        spool.start(started("a", user_agent="\udcff", tags={"x": "\udc80"}))
        spool.end(ended("a", user_agent="curl \udcff", tags={"x\udc80": "\udc80"}, status=2**70))
        spool.start(started("lost", user_agent="\udcff"))
    with opened(tmp_path) as spool:
        record, lost = durable(spool)
        assert (record.user_agent, record.tags, record.status) == ("curl ?", {"x?": "?"}, 2**63 - 1)
        assert lost.id == "lost"


def test_a_spool_that_cannot_be_opened_is_free_again(tmp_path):
    with opened(tmp_path) as spool:
        spool.start(started("lost"))

    def defect(start: RequestStart) -> LedgerRecord:
        raise KeyError(start.id)

    with pytest.raises(KeyError, match="lost"):
        Spool.open(tmp_path, now_us=NOW, estimate=defect)
    with opened(tmp_path) as spool:
        assert ids(durable(spool)) == ["lost"]


def test_a_closed_spool_takes_and_deletes_nothing(tmp_path, caplog):
    with opened(tmp_path, segment_bytes=2000) as spool:
        fill(spool, *(f"r{n}" for n in range(20)))
    before = logs(tmp_path)
    spool.acknowledged(20)
    assert (logs(tmp_path), spool.shipped) == (before, 0)
    with pytest.raises(SpoolFull):
        spool.start(started("late"))
    assert spool.end(ended("late")) == 21
    assert "wait in memory" in caplog.text


def test_memory_holds_the_newest_records_and_the_disk_all(tmp_path):
    with opened(tmp_path) as spool:
        names = [f"r{n}" for n in range(TAIL_RECORDS + 500)]
        for name in names:
            spool.end(ended(name))
        assert spool._tail.records(499, 1) is None
        assert len(spool._tail.records(500, 2 * TAIL_RECORDS) or ()) == TAIL_RECORDS
        until(lambda: spool.read(len(names) - 1, 1)[1])
        read = list[str]()
        while len(read) < len(names):
            first, records = spool.read(len(read), 300)
            assert first == len(read) + 1
            read += ids(records)
        assert read == names


def test_many_threads_may_write_while_others_ship(tmp_path):
    shipped = dict[int, str]()
    with opened(tmp_path, segment_bytes=20_000) as spool, ThreadPoolExecutor(5) as pool:
        names = [[f"t{thread}r{n}" for n in range(300)] for thread in range(4)]
        jobs = [pool.submit(fill_one_by_one, spool, mine) for mine in names]

        def ship() -> bool:
            first, records = spool.read(spool.shipped, 50)
            shipped.update(enumerate(ids(records), first))
            spool.acknowledged(first + len(records) - 1)
            return len(shipped) >= 1200

        until(ship)
        numbers = {name: sequence for job in jobs for name, sequence in job.result().items()}
    assert numbers == {name: sequence for sequence, name in shipped.items()}
    assert sorted(shipped) == list(range(1, 1201))


def fill_one_by_one(spool: Spool, names: list[str]) -> dict[str, int]:
    return {name: fill(spool, name)[0] for name in names}


class Disk:
    """`os.write`, with room for so many more bytes."""

    def __init__(self) -> None:
        self.room = 10**9
        self.torn = False

    def __call__(self, descriptor: int, data: bytearray) -> int:
        if len(data) > self.room:
            if not self.torn:
                raise OSError(errno.ENOSPC, "No space left on device")
            return os.write(descriptor, data[: len(data) // 2])
        self.room -= len(data)
        return os.write(descriptor, data)


@pytest.mark.parametrize("torn", [False, True], ids=["refused", "written in part"])
@pytest.mark.parametrize("segment_bytes", [10**6, 900], ids=["one segment", "a new segment each time"])
def test_on_a_full_disk_starts_are_refused_and_ends_wait_in_memory(tmp_path, torn, segment_bytes):
    disk = Disk()
    with opened(tmp_path, write=disk, segment_bytes=segment_bytes) as spool:
        spool.start(started("a"))
        spool.start(started("b"))
        disk.room, disk.torn = 0, torn
        with pytest.raises(SpoolFull, match="takes no more"):
            spool.start(started("c"))
        assert [spool.end(ended("a")), spool.end(ended("b")), spool.end(ended("d"))] == [1, 2, 3]
        assert spool.read(0, 10) == (1, [])
        assert (spool.backlog().records, spool.backlog().in_flight) == (3, 2)
        assert spool.trouble
        disk.room = 10**9
        assert ids(durable(spool)) == ["a", "b", "d"]
        assert spool.trouble == ""
        spool.start(started("c"))
    with opened(tmp_path) as spool:
        assert ids(durable(spool)) == ["a", "b", "d", "c"]


def test_records_that_never_found_room_are_reported(tmp_path, caplog):
    disk = Disk()
    with opened(tmp_path, write=disk) as spool:
        disk.room = 0
        spool.end(ended("a"))
    assert "1 records were never written" in caplog.text


def test_a_disk_that_fails_to_sync_gives_nothing_out_until_it_does(tmp_path, monkeypatch):
    broken = [True]

    def sync(descriptor: int) -> None:
        if broken:
            raise OSError(errno.EIO, "Input/output error")
        os.fsync(descriptor)

    with opened(tmp_path, segment_bytes=900) as spool:
        monkeypatch.setattr("proxy.segment_log._sync_data", sync)
        fill(spool, "a", "b", "c")
        assert spool.read(0, 10) == (1, [])
        until(lambda: spool.trouble)
        broken.clear()
        assert ids(durable(spool)) == ["a", "b", "c"]


class Watched:
    """A writer process and everything it has said."""

    def __init__(self, folder: Path, lines: int) -> None:
        process = Forked("tests.proxy.spool_writer", str(folder))
        self.said = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        self.said += process.stdout.read().splitlines(keepends=True)
        process.end()
        # the last line may be torn by the kill
        self.words: list[list[str]] = [line.split() for line in self.said if line.endswith("\n")]

    def told(self, verb: str) -> list[Any]:
        return [words[1:] for words in self.words if words[0] == verb]


def test_a_killed_proxy_loses_and_doubles_nothing(tmp_path):
    draw = random.Random(7)
    begun: list[str] = []
    numbered: dict[str, int] = {}
    for _ in range(8):
        run = Watched(tmp_path, draw.randrange(1, 700))
        begun += [name for (name,) in run.told("started")]
        for name, sequence in run.told("ended") + run.told("shipped"):
            assert numbered.setdefault(name, int(sequence)) == int(sequence)
    with opened(tmp_path) as spool:
        for sequence, record in enumerate(durable(spool), spool.shipped + 1):
            assert numbered.setdefault(record.id, sequence) == sequence
        assert sorted(numbered.values()) == list(range(1, spool.next_sequence))
    assert set(begun) <= set(numbered)


def test_records_are_durable_soon(tmp_path):
    with opened(tmp_path) as spool:
        spool.end(ended("a"))
        until(lambda: spool.read(0, 1)[1], within_s=60)


def test_what_was_taken_leaves_in_one_write_with_the_next_start(tmp_path):
    writes: list[int] = []

    def write(descriptor: int, data: bytes) -> int:
        writes.append(len(data))
        return os.write(descriptor, data)

    with opened(tmp_path, write=write) as spool:
        for name in ("a", "b"):
            spool.start(started(name))
        writes.clear()
        assert [spool.take(ended(name)) for name in ("a", "b")] == [1, 2]
        assert (spool.written, writes) == (0, [])
        spool.start(started("c"))
        assert (spool.written, len(writes)) == (2, 1)
        spool.take(ended("c"))
        spool.write()
        spool.write()
        assert (spool.written, len(writes)) == (3, 2)
        assert ids(durable(spool)) == ["a", "b", "c"]


def test_a_disk_with_room_for_some_takes_those_and_keeps_the_others(tmp_path):
    room = [0]

    def write(descriptor: int, data: bytes) -> int:
        if len(data) > room[0]:
            raise OSError(errno.ENOSPC, "no space left")
        room[0] -= len(data)
        return os.write(descriptor, data)

    room[0] = 10_000
    with opened(tmp_path, write=write) as spool:
        for name in ("a", "b", "c"):
            spool.start(started(name))
        for name in ("a", "b", "c"):
            spool.take(ended(name))
        room[0] = len(encoded(Kind.END, 1, ended("a"))) + 10
        spool.write()
        assert spool.written == 1
        with pytest.raises(SpoolFull):
            spool.start(started("d"))
        room[0] = 10_000
        spool.start(started("d"))
        assert spool.written == 3
