"""A worker's evaluator in a process of its own, to be stopped and killed; it says all the time whether it leads."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

from data.config import Config
from data.store import connect
from data.tasks import Tasks
from engine.desk import Desk
from engine.evaluator import Evaluator
from engine.secrets import SecretBox


def work(home: str, lease_s: float, leads: Any) -> None:
    """Evaluate until killed; `leads` is 1 while it leads."""
    asyncio.run(_work(Config(home=Path(home)), timedelta(seconds=lease_s), leads))


async def _work(config: Config, lease_for: timedelta, leads: Any) -> None:
    desk = Desk(config, SecretBox(config.home), connected=connect(config))
    tasks = Tasks()
    tasks.start(Evaluator(desk, lease_for=lease_for).run(), name="evaluate rules")
    while True:
        leads.value = int(desk.status.leading)
        await asyncio.sleep(0.02)
