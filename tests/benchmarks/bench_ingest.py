"""How fast ledger records become Arrow, and how fast batches become durable with their rollups.

`python -m tests.benchmarks.bench_ingest [ROWS]` prints the figures; the store runs in a process of its own.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from data.client import FlightStore
from data.config import Config
from data.model import LedgerRecord
from data.records import record_table
from data.store import connect
from tests.conftest import store_process
from tests.data.ledger import NOON, record

BATCHES = (500, 2_000, 5_000)
RECORDS_GOAL, ROWS_GOAL = 100_000, 20_000


def records(count: int) -> list[LedgerRecord]:
    """Requests of twenty keys and two models, fifty a second."""
    return [record(n, key=f"key-{n % 20}", at=NOON + timedelta(milliseconds=20 * n)) for n in range(count)]


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def put_all(store: FlightStore, rows, size: int) -> None:
    """Put every row in batches of `size`, as one spool."""
    for start in range(0, rows.num_rows, size):
        part = rows.slice(start, size)
        store.put(part, spool_id=f"bench-{size}", first=start + 1, last=start + part.num_rows)


def measure(count: int) -> dict[str, float]:
    """Records a second into Arrow, and rows a second into the store by batch size."""
    made = records(count)
    record_table(made[:10])  # the first call loads what Arrow needs
    figures = {"records into Arrow per second": count / seconds(lambda: record_table(made))}
    rows = record_table(made)
    with tempfile.TemporaryDirectory(prefix="store-") as home, store_process(Config(home=Path(home))) as served:
        store = connect(served.config)
        for size in BATCHES:
            figures[f"rows stored per second, batches of {size}"] = count / seconds(
                lambda n=size: put_all(store, rows, n)
            )
        figures["point query, milliseconds"] = 10 * seconds(lambda: [store.sql("SELECT 1") for _ in range(100)])
        total = "SELECT model, sum(cost_usd), sum(requests) FROM usage_hour GROUP BY 1"
        figures["aggregate over a rollup, milliseconds"] = 10 * seconds(lambda: [store.sql(total) for _ in range(100)])
        whole = "SELECT * FROM requests"
        figures["rows to the client per second"] = 3 * count / seconds(lambda: store.sql(whole, max_rows=10**9))
        store.close()
        served.terminate()
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000), indent=2))  # noqa: T201
