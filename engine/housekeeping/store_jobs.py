"""Looks at what the store does by itself, so that people are told when that fails, as of the worker's own jobs."""

import asyncio
from datetime import datetime, timedelta

from data.protocol import Work
from engine.desk import Desk
from engine.errors import Refused
from engine.housekeeping.job import Job, Run

_EVERY = timedelta(seconds=30)


def store_jobs(desk: Desk) -> Job:
    """The job."""
    seen: dict[str, datetime] = {}

    async def run(_: datetime) -> str:
        status = await asyncio.to_thread(desk.store.ping)
        for work in status.work:
            if work.started_at is not None and work.started_at != seen.get(work.name) and desk.housekeeper is not None:
                seen[work.name] = work.started_at
                await desk.housekeeper.note(_job(work), Run(work.started_at, work.duration_ms, work.ok, work.result))
        failing = [f"{work.name} failed: {work.result}" for work in status.work if not work.ok]
        return "; ".join(failing) or "all went well"

    return Job("store", "Look how the store's own jobs went", _EVERY, run)


def _job(work: Work) -> Job:
    async def run(_: datetime) -> str:
        raise Refused(f"the store itself does {work.name}")

    return Job(work.name, work.title, timedelta(seconds=work.every_s), run)
