"""How long after a call's answer its row can be asked for: `python -m tests.benchmarks.bench_freshness [CALLS]`.

Starts everything but the app in front of the simulated provider, sends calls one after another, and asks the store
for each until it is there. Should be at most 2 s.
"""
# ruff: noqa: T201 - it prints its figures

import statistics
import sys
import tempfile
import time
from pathlib import Path

from sqlalchemy import func, select

from data.schema import requests
from tests.e2e.stack import Stack

BODY = {"model": "claude-sonnet-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
COUNT = select(func.count().label("n")).select_from(requests)


def main(calls: int = 30) -> None:
    """Print the median and the longest wait."""
    with tempfile.TemporaryDirectory(prefix="cpa-") as home:
        stack = Stack(Path(home), ui=False).wait_until_ready()
        try:
            waits = sorted(_wait(stack, number) for number in range(1, calls + 1))
        finally:
            stack.end()
    print(f"row queryable after its call's end: median {statistics.median(waits):.2f} s, longest {waits[-1]:.2f} s")


def _wait(stack: Stack, number: int) -> float:
    store = stack.store()
    stack.post("/v1/messages", BODY, **{"x-api-key": "bench"}).raise_for_status()
    ended = time.perf_counter()
    while store.frame(COUNT).item() < number:
        time.sleep(0.005)
    return time.perf_counter() - ended


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
