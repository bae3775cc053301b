import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pyarrow as pa
import pytest

from data.config import Config
from data.encoded_records import decoded_table, encoded_table
from data.errors import StoreUnavailable
from data.records import record_table
from data.store import connect
from data.tasks import Tasks
from proxy.shipper import Shipper
from proxy.spool import Spool
from tests.conftest import store_process
from tests.proxy.spool_samples import durable, ended, opened


class MemoryStore:
    """A store's `put`, as the real one does it; `trouble` is raised before or after the rows are in."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.batches: list[tuple[int, int]] = []
        self.offset = 0
        self.trouble: Exception | None = None
        self.answer_lost = False
        self.closed = 0

    def put(self, rows: pa.Table, *, spool_id: str, first: int, last: int) -> int:
        assert spool_id
        if self.trouble and not self.answer_lost:
            raise self.trouble
        names = decoded_table(rows)["id"].to_pylist()
        assert last - first + 1 == len(names)
        self.rows += names[max(0, self.offset - first + 1) :]
        self.offset = max(self.offset, last)
        self.batches.append((first, last))
        if self.trouble:
            raise self.trouble
        return self.offset

    def close(self) -> None:
        self.closed += 1


async def eventually(condition: Callable[[], object], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.002)


@asynccontextmanager
async def shipping(shipper: Shipper) -> AsyncIterator[None]:
    tasks = Tasks()
    task = tasks.start(shipper.run(), name="shipper")
    try:
        yield
        assert not task.done()
    finally:
        await tasks.stop()
        shipper.close()


def fill(spool: Spool, first: int, last: int) -> list[str]:
    names = [f"r{number}" for number in range(first, last + 1)]
    for name in names:
        spool.end(ended(name))
    return names


async def test_records_arrive_by_themselves(tmp_path):
    store = MemoryStore()
    with opened(tmp_path) as spool:
        shipper = Shipper(spool, lambda: store, interval_s=0.02)
        async with shipping(shipper):
            names = fill(spool, 1, 3)
            await eventually(lambda: shipper.offset == 3)
            names += fill(spool, 4, 5)
            await eventually(lambda: shipper.offset == 5)
        assert store.rows == names
        assert shipper.last_error == ""
        assert shipper.last_shipped_at is not None
        assert spool.backlog().records == 0
    assert store.closed == 1


async def test_a_backlog_goes_in_batches_from_the_disk(tmp_path):
    store = MemoryStore()
    with opened(tmp_path, segment_bytes=20_000) as spool:
        names = fill(spool, 1, 250)
    with opened(tmp_path, segment_bytes=20_000) as spool:
        async with shipping(Shipper(spool, lambda: store, interval_s=60, batch_records=100)):
            await eventually(lambda: spool.shipped > 150)
        assert await Shipper(spool, lambda: store).flush(20)
    assert store.rows == names
    assert all(last - first < 100 for first, last in store.batches)


async def test_a_whole_batch_does_not_wait_for_the_interval(tmp_path):
    store = MemoryStore()
    encoded_table([b""])  # a process's first table takes long
    with opened(tmp_path) as spool:
        shipper = Shipper(spool, lambda: store, interval_s=10, batch_records=10)
        async with shipping(shipper):
            async with asyncio.timeout(9):
                fill(spool, 1, 10)
                await eventually(lambda: shipper.offset == 10)


async def test_while_the_store_is_down_records_wait_and_then_arrive(tmp_path):
    store, down = MemoryStore(), [True]

    def reach() -> MemoryStore:
        if down:
            raise StoreUnavailable("nobody answers")
        return store

    with opened(tmp_path) as spool:
        shipper = Shipper(spool, reach, interval_s=0.02)
        async with shipping(shipper):
            names = fill(spool, 1, 3)
            await eventually(lambda: shipper.last_error)
            assert shipper.last_error == "StoreUnavailable: nobody answers"
            assert spool.backlog().records == 3
            down.clear()
            await eventually(lambda: shipper.offset == 3)
        assert (store.rows, shipper.last_error) == (names, "")


@pytest.mark.parametrize("answer_lost", [False, True], ids=["before it stored", "after it stored"])
async def test_a_store_that_fails_gets_the_batch_again_and_keeps_it_once(tmp_path, answer_lost):
    store = MemoryStore()
    store.trouble, store.answer_lost = StoreUnavailable("connection reset"), answer_lost
    with opened(tmp_path) as spool:
        shipper = Shipper(spool, lambda: store, interval_s=0.02)
        async with shipping(shipper):
            names = fill(spool, 1, 3)
            await eventually(lambda: shipper.last_error)
            names += fill(spool, 4, 6)
            store.trouble = None
            await eventually(lambda: shipper.offset == 6)
    assert store.rows == names
    assert store.closed >= 2


async def test_a_defect_in_the_store_does_not_end_the_shipper(tmp_path):
    store = MemoryStore()
    store.trouble = KeyError("what?")
    with opened(tmp_path) as spool:
        shipper = Shipper(spool, lambda: store, interval_s=0.02)
        async with shipping(shipper):
            fill(spool, 1, 1)
            await eventually(lambda: shipper.last_error)
            store.trouble = None
            await eventually(lambda: shipper.offset == 1)


async def test_a_store_that_stored_less_than_it_got_is_asked_again(tmp_path):
    class Forgetful(MemoryStore):
        def put(self, rows: pa.Table, *, spool_id: str, first: int, last: int) -> int:
            return super().put(rows, spool_id=spool_id, first=first, last=last) - (len(self.batches) == 1)

    store = Forgetful()
    with opened(tmp_path) as spool:
        names = fill(spool, 1, 3)
        assert await Shipper(spool, lambda: store, interval_s=0.02).flush(20)
    assert store.rows == names
    assert len(store.batches) == 2


async def test_a_flush_ends_at_its_deadline(tmp_path):
    def nobody() -> MemoryStore:
        raise StoreUnavailable("nobody answers")

    with opened(tmp_path) as spool:
        shipper = Shipper(spool, nobody)
        assert await shipper.flush(5)
        fill(spool, 1, 1)
        async with asyncio.timeout(60):
            assert not await shipper.flush(0.2)
        assert spool.backlog().records == 1


async def test_a_flush_and_the_loop_do_not_double_anything(tmp_path):
    store = MemoryStore()
    with opened(tmp_path) as spool:
        shipper = Shipper(spool, lambda: store, interval_s=0.01, batch_records=5)
        async with shipping(shipper):
            names = fill(spool, 1, 100)
            assert await shipper.flush(20)
    assert store.rows == names


def stored(config: Config) -> list[str]:
    client = connect(config)
    try:
        return client.sql("SELECT id FROM requests ORDER BY ended_at, id").get_column("id").to_list()
    finally:
        client.close()


def has_passed(shipper: Shipper, sequence: int) -> bool:
    return shipper.offset > sequence


async def test_the_store_is_killed_again_and_again_and_has_every_record_once(tmp_path, config):
    with opened(tmp_path) as spool:
        shipper = Shipper(spool, lambda: connect(config), interval_s=0.01, batch_records=40)
        names: list[str] = []
        async with shipping(shipper):
            for before in (0, 500):
                with store_process(config) as process:
                    names += fill(spool, before + 1, before + 500)
                    await eventually(partial(has_passed, shipper, before + 100))
                    process.kill()
                await eventually(lambda: shipper.last_error)
            with store_process(config):
                assert await shipper.flush(60)
                assert sorted(await asyncio.to_thread(stored, config)) == sorted(names)


async def test_a_spool_that_forgot_its_acknowledgement_doubles_nothing(tmp_path, config, store):
    with opened(tmp_path) as spool:
        names = fill(spool, 1, 30)
        first, records = 1, durable(spool)
        # stored, and killed before the answer came
        store.put(record_table(records[:20]), spool_id=spool.spool_id, first=first, last=20)
    with opened(tmp_path) as spool:
        shipper = Shipper(spool, lambda: connect(config), batch_records=7)
        assert await shipper.flush(60)
        shipper.close()
    assert sorted(stored(config)) == sorted(names)
