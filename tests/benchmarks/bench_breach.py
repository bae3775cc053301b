"""How long after a breach its channel is told: `python -m tests.benchmarks.bench_breach [BREACHES]`.

A store, the worker program and a local webhook. A rule evaluated every second watches the cost of each key; request
after request of a new key breaches it, at any moment of the second. Timed from the request's end, as the ledger has
it, until the notice arrives. Should be less than 3 s: the second, and two more.
"""
# ruff: noqa: T201 - it prints its figures

import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from data.config import Config
from data.serving import RunningStore
from data.store import Store, connect
from engine import channel_store, rules
from engine.secrets import SecretBox
from tests.engine.receivers import free_port, receiving, until
from tests.engine.traffic import COSTLY, rows, spend

RULE = {**COSTLY, "every": "1s", "group_by": ["key"], "notify": ["hook"]}


async def measured(config: Config, store: Store, breaches: int) -> list[float]:
    """Seconds from the end of each request that breaches to the arrival of its notice."""
    arrived: asyncio.Queue[datetime] = asyncio.Queue()

    async def arrive(_request: web.Request) -> web.Response:
        arrived.put_nowait(datetime.now(UTC))
        return web.Response(status=202)

    async with receiving(arrive) as receiver:
        hook = {"name": "hook", "kind": "webhook", "config": {"url": receiver.url, "allow_private": True}}
        channel_store.create(store, SecretBox(config.home), hook, by="bench")
        rules.save(store, RULE, by="bench")
        await until(lambda: rows(store, "rule_health", "health"), 60)
        return [await _wait(store, arrived, number) for number in range(breaches)]


async def _wait(store: Any, arrived: "asyncio.Queue[datetime]", number: int) -> float:
    await asyncio.sleep(random.random())  # any moment of a second
    ended = datetime.now(UTC)
    await asyncio.to_thread(spend, store, ended, "2", key=f"key-{number}")
    async with asyncio.timeout(30):
        return (await arrived.get() - ended).total_seconds()


def main(breaches: int = 25) -> None:
    """Start, breach, print."""
    with tempfile.TemporaryDirectory(prefix="cpa-") as folder:
        config = Config(home=Path(folder))
        running = RunningStore(config)
        store = connect(config)
        command = [sys.executable, "-m", "engine", "--home", folder, "--port", str(free_port())]
        worker = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            waits = asyncio.run(measured(config, store, breaches))
        finally:
            worker.terminate()
            worker.wait(30)
            store.close()
            running.stop()
    print(f"breach to its notice's arrival: median {statistics.median(waits):.2f} s, longest {max(waits):.2f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
