import os
import signal
import socket
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psutil
import pytest

from data.errors import DeadlineExceeded, StoreUnavailable
from data.records import record_table
from data.serving import AlreadyServed, RunningStore
from data.store import Role, Statement, connect, ensure_running
from tests.conftest import ROOT, eventually, store_process
from tests.data.ledger import record

RUNAWAY = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE (a.range * b.range) % 7 = 3"


def idle(process):
    """Whether the process burns less than a fifth of a core."""
    return process.cpu_percent(interval=0.3) < 20


def test_the_socket_and_the_home_are_the_owners_alone(running, config):
    assert stat.S_IMODE(config.home.stat().st_mode) == 0o700
    for path in (config.socket, config.database, config.home / "store.lock"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_socket_is_never_open_to_others_not_even_at_birth(config, monkeypatch):
    masks = []

    class Listening(Exception):
        pass

    def listen(self, *_arguments):
        masks.append(os.umask(0o177))
        raise Listening

    monkeypatch.setattr("data.serving.FlightDoor.__init__", listen)
    with pytest.raises(Listening):
        RunningStore(config)
    assert masks == [0o177]


def test_a_second_store_on_the_same_home_is_refused_by_the_first_ones_number(running, config):
    with pytest.raises(AlreadyServed, match=f"process {os.getpid()}"):
        RunningStore(config)
    assert connect(config).sql("SELECT 1").item() == 1


def test_a_second_process_says_who_serves_the_home(served):
    command = [sys.executable, "-m", "data", "--home", str(served.config.home), "--settings", "{}"]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    assert second.returncode == 3
    assert second.stderr.count("\n") == 1
    assert f"process {served.process.pid}" in second.stderr
    assert connect(served.config).ping().pid == served.process.pid


def test_a_socket_left_by_a_killed_store_is_replaced(config):
    with store_process(config) as first:
        connect(config).transact([Statement("INSERT INTO leases VALUES ('x', 'y', 1, now())")])
        first.kill()
    assert config.socket.exists()
    with pytest.raises(StoreUnavailable):
        connect(config)
    with store_process(config):
        assert connect(config).sql("SELECT name FROM leases").item() == "x"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_store_cleanly(served, number):
    client = connect(served.config)
    client.put(record_table([record(1)]), spool_id="s", first=1, last=1)
    client.close()
    served.process.send_signal(number)
    assert served.process.wait(60) == 0
    assert served.process.stderr.read() == ""
    assert not served.config.socket.exists()
    assert not served.config.database.with_name("analytics.duckdb.wal").exists()


def test_a_store_ends_within_seconds_although_a_query_runs(served):
    client = connect(served.config)
    with ThreadPoolExecutor(1) as pool:
        query = pool.submit(client.sql, RUNAWAY, deadline_s=60)
        eventually(lambda: not idle(psutil.Process(served.process.pid)))
        began = time.monotonic()
        assert served.terminate() == 0
        assert time.monotonic() - began < 20  # of the 60 that the query has
        with pytest.raises(StoreUnavailable):
            query.result()


def test_a_shutdown_call_ends_the_store(served):
    connect(served.config).shutdown()
    assert served.process.wait(60) == 0


def test_a_runaway_query_ends_at_its_deadline_and_frees_the_cpu(served):
    client = connect(served.config, Role.READER)
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        client.sql(RUNAWAY, deadline_s=1)
    assert time.monotonic() - began < 20  # it would never end by itself
    eventually(lambda: idle(psutil.Process(served.process.pid)))
    assert client.sql("SELECT 1").item() == 1


def test_a_query_whose_client_died_is_ended(served):
    script = (
        "import sys; from pathlib import Path; from data.config import Config; from data.store import connect;"
        f"connect(Config(home=Path(sys.argv[1]))).sql({RUNAWAY!r}, deadline_s=600)"
    )
    client = subprocess.Popen([sys.executable, "-c", script, str(served.config.home)], cwd=ROOT)
    store = psutil.Process(served.process.pid)
    eventually(lambda: not idle(store))
    client.kill()
    client.wait()
    eventually(lambda: idle(store))


def test_a_stream_whose_client_left_is_ended(served):
    stream = connect(served.config).batches("SELECT * FROM range(1000000000) a, range(10)", max_rows=10**12)
    next(stream)
    stream.close()
    eventually(lambda: idle(psutil.Process(served.process.pid)))


def test_a_store_that_hangs_does_not_hang_its_callers(served):
    client = connect(served.config)
    served.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            connect(served.config)
        with pytest.raises((StoreUnavailable, DeadlineExceeded)):
            client.transact([Statement("SELECT 1")], deadline_s=-4)
        assert time.monotonic() - began < 10
    finally:
        served.process.send_signal(signal.SIGCONT)


def test_whoever_comes_first_starts_the_store_and_all_get_the_same_one(config):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ensure_running(config), range(4)))
    client = connect(config)
    pid = client.ping().pid
    try:
        ensure_running(config)
        assert connect(config).ping().pid == pid
        assert os.getsid(pid) == pid  # its own session: a closed terminal does not end it
    finally:
        client.shutdown()
        client.close()
        eventually(lambda: not psutil.pid_exists(pid))
    assert (config.home / "logs" / "store.log").read_text()


def test_a_store_that_nobody_can_reach_any_more_ends(served):
    served.config.socket.unlink()
    assert served.process.wait(60) == 1
    assert "was removed" in served.process.stderr.read()


def test_a_store_that_cannot_start_says_why(config):
    config.database.write_text("this is no database")
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        ensure_running(config)


def test_a_socket_path_that_is_too_long_says_so(config):
    deep = replace(config, home=config.home / ("long" * 30))
    with pytest.raises(StoreUnavailable, match="shorter home"):
        RunningStore(deep)


def test_a_folder_that_others_use_too_is_not_taken_as_home(config):
    config.home.chmod(0o1777)
    with pytest.raises(StoreUnavailable, match="folder of its own"):
        RunningStore(config)


def test_a_question_mark_in_the_path_is_refused(config):
    with pytest.raises(StoreUnavailable, match="question mark"):
        RunningStore(replace(config, home=config.home / "what?"))


@pytest.mark.parametrize("name", ["with space", "ünï%20#"])
def test_any_name_of_a_home_works(config, name):
    odd = replace(config, home=config.home / name)
    running = RunningStore(odd)
    try:
        assert connect(odd).sql("SELECT 1").item() == 1
    finally:
        running.stop()


def test_tcp_is_a_second_door_with_the_same_tokens(config):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    both = replace(config, store=replace(config.store, tcp=address))
    running = RunningStore(both)
    try:
        config.socket.rename(config.home / "away.sock")
        assert connect(both).sql("SELECT 1").item() == 1
        with pytest.raises(StoreUnavailable):
            connect(config)
    finally:
        running.stop()


def test_many_threads_share_one_connection(store):
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda n: store.sql("SELECT ? + count(*) FROM range(1000)", [n]).item(), range(200))
        assert list(answers) == [1000 + n for n in range(200)]
