"""A process that loads a store: `python -m tests.data.load writer|reader HOME NAME SECONDS`.

It ends with 1 at the first error. A writer prints the last number that was acknowledged, a reader its count of answers.
"""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from data.client import FlightStore
from data.config import Config
from data.records import record_table
from data.store import Role, connect
from tests.data.ledger import NOON, record

BATCH = 200


def batch(spool, first):
    """Rows that only this spool has, over some hours."""
    numbers = range(first, first + BATCH)
    return record_table(
        [record(n, id=f"{spool}-{n}", at=NOON + timedelta(seconds=n % 20_000)) for n in numbers],
    )


def write(store: FlightStore, name: str, goes_on: Callable[[], bool]) -> int:
    first = 1
    while goes_on():
        last = first + BATCH - 1
        assert store.put(batch(name, first), spool_id=name, first=first, last=last) == last
        first = last + 1
    return first - 1


def read(store: FlightStore, _name: str, goes_on: Callable[[], bool]) -> int:
    answers = 0
    while goes_on():
        frame = store.sql(
            "SELECT (SELECT count(*) FROM requests) AS rows, (SELECT sum(requests) FROM usage_minute) AS minutes, "
            "(SELECT sum(requests) FROM usage_hour) AS hours, (SELECT sum(durations) FROM latency_hour) AS durations",
        )
        assert len(set(frame.fill_null(0).row(0))) == 1, frame
        answers += 1
    return answers


def main(kind: str, home: str, name: str, seconds: str) -> None:
    store = connect(Config(home=Path(home)), Role.WRITER if kind == "writer" else Role.READER)
    until = time.monotonic() + float(seconds)
    print({"writer": write, "reader": read}[kind](store, name, lambda: time.monotonic() < until))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
