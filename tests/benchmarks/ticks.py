"""The worker's part of `bench_alerts`: `python -m tests.benchmarks.ticks HOME FROM ROUNDS`, loaded as the worker is.

Evaluates all rules of a running store at FROM (ISO 8601) and, ROUNDS times, a minute later each time; prints how long
a tick took and the most memory the process had.
"""
# ruff: noqa: T201 - it prints its figures

import re
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from data.config import Config
from data.lean import without_pandas
from data.store import Store, connect
from engine import (
    rules,
    worker,  # noqa: F401 - it counts: what the program loads is part of its memory
)
from engine.episode import Watched
from engine.rules import watched
from engine.tick import tick

MINUTE = timedelta(minutes=1)


def main(home: Path, begin: datetime, rounds: int) -> None:
    """Evaluate and print."""
    store = connect(Config(home=home))
    watching = [watched(row) for row in rules.every(store)]
    taken = [_tick(store, watching, begin + number * MINUTE) for number in range(rounds + 1)]
    print(f"{'first tick':40} {taken[0]:9.0f} ms")
    print(f"{'a tick of 1,000 rules':40} {statistics.median(taken[1:]):9.0f} ms   (aim: 2,000)")
    print(f"{'memory at most':40} {_most_memory_mb():9.0f} MB   (aim: 300)")
    store.close()


def _tick(store: Store, watching: Sequence[Watched], at: datetime) -> float:
    begun = time.perf_counter()
    done = tick(store, watching, at)
    assert done.rules == len(watching), done
    return (time.perf_counter() - begun) * 1000


def _most_memory_mb() -> float:
    """Of this program alone: `ru_maxrss` begins with what the process that started it had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found
    return int(found[1]) / 1024


if __name__ == "__main__":
    without_pandas()
    main(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]), int(sys.argv[3]))
