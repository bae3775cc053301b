"""A store with a known ledger in it, filled once a module."""

import shutil
import tempfile
from pathlib import Path

import pytest

from data.config import Config, StoreConfig
from data.records import record_table
from data.serving import RunningStore
from data.store import connect
from tests.data.oracle import ledger


@pytest.fixture(scope="module")
def loaded():
    """A writer's connection to a store that holds `oracle.ledger()`, put in several batches."""
    home = Path(tempfile.mkdtemp(prefix="store-"))
    config = Config(home=home, store=StoreConfig(memory_limit="512MB", threads=2))
    running = RunningStore(config)
    client = connect(config)
    records = ledger()
    for first in range(0, len(records), 300):
        batch = records[first : first + 300]
        client.put(record_table(batch), spool_id="s", first=first + 1, last=first + len(batch))
    yield client
    client.close()
    running.stop()
    shutil.rmtree(home)
