"""A proxy with 64 callers in a process of its own, to be killed at any moment: `python -m … HOME SPOOL SEED`.

The provider is a file that each call's cost is appended to when the call is sent. It begins once there is a file `go`,
and ends with 0 once every caller has been told that the money is gone.
"""

import asyncio
import os
import random
import sys
import time
from pathlib import Path

from data.tasks import Tasks
from proxy.budget.reservation import Refusal
from proxy.budget.upkeep import now_us
from tests.proxy.budget_worlds import DOLLAR, Proxy, usd
from tests.proxy.spool_samples import ended, started

CALLERS = 64
LIMIT = 40 * DOLLAR
WORST = (DOLLAR // 1000, DOLLAR // 20)


async def call(at: Proxy, provider: int, chance: random.Random) -> None:
    worst = chance.randint(*WORST)
    while True:
        start = started()
        held = at.budgets.reserve(start, worst, time.time())
        if isinstance(held, Refusal):
            if not held.should_retry:
                return
            await asyncio.sleep(0.005)
            continue
        at.begin(start, held)
        cost = chance.randint(0, worst)
        os.write(provider, f"{start.id} {cost}\n".encode())
        await asyncio.sleep(chance.random() * 0.06)
        at.end(held, ended(start.id, cost_usd=usd(cost), ended_at=now_us()))
        worst = chance.randint(*WORST)


async def fold(at: Proxy) -> None:
    while True:
        at.budgets.tick(now_us())
        await asyncio.sleep(0.01)


async def main(home: Path, name: str, seed: int) -> None:
    at = Proxy(home, name)
    provider = os.open(home / "provider", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(1, b"ready\n")
    while not (home / "go").exists():
        await asyncio.sleep(0.001)
    chance, tasks = random.Random(seed), Tasks()
    tasks.start(fold(at), name="fold")
    async with asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(call(at, provider, random.Random(chance.random())))
    await tasks.stop()
    at.close(now_us())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
