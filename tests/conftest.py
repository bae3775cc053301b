"""Fixtures of every package: a configuration on a folder of its own, and a store that runs there."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.client import FlightStore
from data.config import Config, StoreConfig
from data.serving import RunningStore
from data.store import Role, connect


@pytest.fixture
def home() -> Iterator[Path]:
    # not tmp_path: a Unix socket's path must fit into 107 bytes
    folder = Path(tempfile.mkdtemp(prefix="store-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def config(home) -> Config:
    return Config(home=home, store=StoreConfig(memory_limit="512MB", threads=2))


@pytest.fixture
def running(config) -> Iterator[RunningStore]:
    """A store inside the test's process."""
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
