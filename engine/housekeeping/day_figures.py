"""Keeps each day's figures on incidents and deliveries, so that they outlive the rows that they are counted from."""

import asyncio
from datetime import datetime, timedelta

from engine.desk import Desk
from engine.housekeeping.job import Job
from engine.kept_days import bring_up_to_date

_EVERY = timedelta(hours=1)


def day_figures(desk: Desk) -> Job:
    """The job."""

    async def run(at: datetime) -> str:
        days = await asyncio.to_thread(bring_up_to_date, desk.store, desk.config.retention, at)
        return f"{days:,} day{'s' * (days != 1)} counted, up to {at:%Y-%m-%d %H:%M}"

    return Job("statistics", "Keep each day's figures on incidents and deliveries", _EVERY, run)
