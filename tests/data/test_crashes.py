"""What the store survives: load from many sides, being killed, and a full disk."""

import json
import os
import random
import resource
import subprocess
import sys
import threading

import msgspec
import psutil
import pytest

from data.errors import StoreError, StoreUnavailable
from data.store import connect
from tests.conftest import ROOT, eventually, store_process
from tests.data.load import BATCH, batch

SECONDS = os.environ.get("STORE_LOAD_SECONDS", "8")
KILLS = int(os.environ.get("STORE_KILLS", "20"))
MEGABYTE = 1024 * 1024


def assert_whole(store, acknowledged):
    """Every acknowledged row is there once, nothing is there twice, and the rollups say the same."""
    rows, ids = store.sql("SELECT count(*), count(DISTINCT id) FROM requests").row(0)
    assert rows == ids
    for spool, last in acknowledged.items():
        stored = store.sql("SELECT sequence FROM ingest_offsets WHERE spool_id = ?", [spool])
        reached = stored.item() if stored.height else 0
        assert reached >= last
        assert store.sql("SELECT count(*) FROM requests WHERE starts_with(id, ?)", [f"{spool}-"]).item() == reached
    tokens = "SELECT sum(uncached_input_tokens)::BIGINT, sum(cost_usd), count(*)::BIGINT FROM requests"
    truth = store.sql(tokens).row(0)
    for table in ("usage_minute", "usage_hour"):
        sums = "sum(uncached_input_tokens)::BIGINT, sum(cost_usd), sum(requests)::BIGINT"
        assert store.sql(f"SELECT {sums} FROM {table}").row(0) == truth
    for table in ("latency_minute", "latency_hour"):
        assert store.sql(f"SELECT sum(durations) FROM {table}").item() == truth[2]


def load(kind, config, name):
    command = [sys.executable, "-m", "tests.data.load", kind, str(config.home), name, SECONDS]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_three_writers_and_two_readers_work_at_once_without_one_error(served):
    writers = {name: load("writer", served.config, name) for name in ("a", "b", "c")}
    readers = [load("reader", served.config, name) for name in ("d", "e")]
    results = {process: process.communicate(timeout=120) for process in (*writers.values(), *readers)}
    assert [error for _, error in results.values()] == [""] * 5
    acknowledged = {name: int(results[process][0]) for name, process in writers.items()}
    assert min(acknowledged.values()) > 0
    assert all(int(results[process][0]) > 0 for process in readers)
    store = connect(served.config)
    assert_whole(store, acknowledged)
    assert store.sql("SELECT count(*) FROM requests").item() == sum(acknowledged.values())


class Spool(threading.Thread):
    """Puts batch after batch until told to stop; a batch that fails is put again, as a spool does."""

    def __init__(self, config, name):
        super().__init__(name=name, daemon=True)
        self.config, self.acknowledged, self.problems = config, 0, []
        self._done = threading.Event()
        self.start()

    def run(self):
        client = None
        while not self._done.wait(0.001):
            first = self.acknowledged + 1
            try:
                client = client or connect(self.config)
                last = first + BATCH - 1
                self.acknowledged = client.put(batch(self.name, first), spool_id=self.name, first=first, last=last)
            except StoreUnavailable:
                continue
            except Exception as problem:  # noqa: BLE001 - whatever it is, the test must show it
                self.problems.append(problem)

    def stop(self):
        self._done.set()
        self.join()


class Nursery:
    """Stores that start in a moment, because the program is imported already. Each dies by `kill -9`."""

    def __init__(self, process, config):
        self.process = process
        settings = msgspec.json.encode(config.store).decode()
        self.arguments = json.dumps(["--home", str(config.home), "--settings", settings])

    def start(self):
        self.process.stdin.write(self.arguments + "\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        assert self.process.stdout.readline().startswith("store ready")
        return psutil.Process(pid)


@pytest.fixture
def nursery(config):
    command = [sys.executable, "-m", "tests.data.nursery"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Nursery(process, config)
        process.stdin.close()


@pytest.mark.slow
def test_a_store_that_is_killed_again_and_again_loses_nothing_acknowledged(config, nursery):
    chance = random.Random()
    spools = []
    for _ in range(KILLS):
        store = nursery.start()
        spools = spools or [Spool(config, "a"), Spool(config, "b")]
        seen = spools[0].acknowledged
        if chance.random() < 0.8:  # else it dies young
            eventually(lambda spool=spools[0], seen=seen: spool.acknowledged > seen)
        threading.Event().wait(chance.uniform(0.0, 0.3))  # the instant is the test's input, not a wait for something
        store.kill()
        store.wait(60)
    with store_process(config) as served:
        for spool in spools:
            spool.stop()
        assert [spool.problems for spool in spools] == [[], []]
        assert all(spool.acknowledged for spool in spools)
        assert_whole(connect(config), {spool.name: spool.acknowledged for spool in spools})
        assert served.terminate() == 0


def limit_files(process, size):
    """No file of the process may grow beyond `size` bytes: to it, the disk is full there."""
    psutil.Process(process.pid).rlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def fill(client, first=1, most=400):
    """Put until it fails; the last number that was acknowledged, and the error."""
    for start in range(first, first + most * BATCH, BATCH):
        last = start + BATCH - 1
        try:
            client.put(batch("s", start), spool_id="s", first=start, last=last)
        except StoreError as error:
            return start - 1, error
    raise AssertionError("the disk was never full")


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux")
def test_a_full_disk_is_an_error_and_writing_goes_on_when_there_is_room_again(served):
    client = connect(served.config)
    limit_files(served.process, 2 * MEGABYTE)
    acknowledged, error = fill(client)
    assert "cannot do that now" in str(error)
    assert acknowledged > 0
    assert_whole(client, {"s": acknowledged})
    limit_files(served.process, resource.RLIM_INFINITY)
    assert client.put(batch("s", acknowledged + 1), spool_id="s", first=acknowledged + 1, last=acknowledged + BATCH)
    assert_whole(client, {"s": acknowledged + BATCH})
    served.kill()
    with store_process(served.config):
        assert_whole(connect(served.config), {"s": acknowledged + BATCH})


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux")
def test_a_store_stopped_on_a_full_disk_has_everything_afterwards(served):
    client = connect(served.config)
    limit_files(served.process, 2 * MEGABYTE)
    acknowledged, _ = fill(client)
    served.terminate()
    with store_process(served.config):
        assert_whole(connect(served.config), {"s": acknowledged})


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux")
def test_when_the_database_gives_up_the_store_ends_with_a_clear_line_and_a_restart_has_everything(served):
    client = connect(served.config)
    client.put(batch("s", 1), spool_id="s", first=1, last=BATCH)
    limit_files(served.process, 16 * 1024)
    with pytest.raises(StoreError):
        client.checkpoint()
    assert served.process.wait(60) == 1
    assert "restart the store" in served.process.stderr.read()
    with store_process(served.config):
        assert_whole(connect(served.config), {"s": BATCH})
