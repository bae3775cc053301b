"""Fixtures of every package: a configuration on a folder of its own, and a store that runs there."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings

from data.client import FlightStore
from data.config import Config, StoreConfig
from data.serving import RunningStore
from data.store import Role, connect

ROOT = Path(__file__).parents[1]
_ROOM = 2 * 1024**3

# how fast examples are made says nothing on a machine that runs other tests beside
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


@pytest.hookimpl(trylast=True)  # after they were shuffled
def pytest_collection_modifyitems(items):
    """What takes long begins first, so that no worker is left with it while the others have nothing to do."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def eventually(condition, seconds=60):
    """Wait until `condition` holds and give its value; fail after `seconds`: many, for the machine may be busy."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, "it did not happen in time"
        threading.Event().wait(0.02)
    return value


def _in_memory() -> Path | None:
    """Where files cost no disk: a test that writes a hundred times does not wait for it a hundred times."""
    shared = Path("/dev/shm")
    roomy = "TMPDIR" not in os.environ and shared.is_dir() and shutil.disk_usage(shared).free > _ROOM
    return shared if roomy else None


@pytest.fixture
def home() -> Iterator[Path]:
    # not tmp_path: a Unix socket's path must fit into 107 bytes
    folder = Path(tempfile.mkdtemp(prefix="store-", dir=_in_memory()))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def config(home) -> Config:
    return Config(home=home, store=StoreConfig(memory_limit="512MB", threads=2))


@dataclass(frozen=True)
class StoreProcess:
    """`python -m data` on a home of its own."""

    config: Config
    process: subprocess.Popen[str]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        self.process.terminate()
        return self.process.wait(60)


@contextmanager
def store_process(config: Config, *wrapper: str) -> Iterator[StoreProcess]:
    """A store in a process of its own, ready; killed at the end if it still runs. `wrapper` goes before the command."""
    settings = msgspec.json.encode(config.store).decode()
    command = [*wrapper, sys.executable, "-m", "data", "--home", str(config.home), "--settings", settings]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("store ready"), process.stderr.read()
            yield StoreProcess(config, process)
        finally:
            process.kill()


@pytest.fixture
def served(config) -> Iterator[StoreProcess]:
    """A store in a process of its own."""
    with store_process(config) as process:
        yield process


@pytest.fixture(scope="session")
def empty_database() -> Iterator[Path]:
    """The file of a store that has just begun: copied, it spares a test the making of every table."""
    with tempfile.TemporaryDirectory(prefix="store-") as folder:
        config = Config(home=Path(folder), store=StoreConfig(memory_limit="512MB", threads=2))
        RunningStore(config).stop()
        yield config.database


@pytest.fixture
def running(config, empty_database) -> Iterator[RunningStore]:
    """A store inside the test's process."""
    if not config.database.exists():
        shutil.copyfile(empty_database, config.database)
    store = RunningStore(config)
    yield store
    store.stop()


@pytest.fixture
def store(running, config) -> Iterator[FlightStore]:
    """A writer's connection to `running`."""
    client = connect(config)
    yield client
    client.close()


@pytest.fixture
def reader(running, config) -> Iterator[FlightStore]:
    """A reader's connection to `running`."""
    client = connect(config, Role.READER)
    yield client
    client.close()
