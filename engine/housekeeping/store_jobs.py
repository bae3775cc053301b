"""Looks at what the store does by itself, so that people are told when that fails, as of the worker's own jobs."""

import asyncio
from datetime import datetime, timedelta

from data.protocol import Work
from engine.desk import Desk
from engine.errors import Refused
from engine.housekeeping.housekeeper import Housekeeper
from engine.housekeeping.job import Job, Run

_EVERY = timedelta(seconds=30)


def store_jobs(desk: Desk) -> Job:
    """The job."""

    async def run(_: datetime) -> str:
        status, keeper = await asyncio.to_thread(desk.store.ping), desk.housekeeper
        if keeper is not None:
            for work in status.work:
                await _note(keeper, work)
                if work.running_since is not None:
                    await keeper.note_running(_job(work), work.running_since)
        failing = [f"{work.name} failed: {work.result}" for work in status.work if not work.ok]
        return "; ".join(failing) or "all went well"

    return Job("store", "Look how the store's own jobs went", _EVERY, run)


async def _note(keeper: Housekeeper, work: Work) -> None:
    """Note its last run, if that is news."""
    last = keeper.last(work.name)
    if work.started_at is None or (last is not None and last.started_at == work.started_at):
        return
    await keeper.note(_job(work), Run(work.started_at, work.duration_ms, work.ok, work.result))


def _job(work: Work) -> Job:
    async def run(_: datetime) -> str:
        raise Refused(f"the store itself does {work.name}")

    return Job(work.name, work.title, timedelta(seconds=work.every_s), run)
