"""A worker whose only regular job waits for ever, in a thread that nothing can end: `python -m … --home DIR`."""

import asyncio
import sys
import threading
from datetime import timedelta

from engine import worker
from engine.__main__ import main
from engine.housekeeping import housekeeper
from engine.housekeeping.job import Job


def jobs(*_):
    async def run(_):
        await asyncio.to_thread(threading.Event().wait)

    return [Job("stuck", "Wait for ever", timedelta(days=1), run, within=timedelta(seconds=0.5))]


if __name__ == "__main__":
    worker.regular_jobs = jobs
    housekeeper._AT_START, housekeeper._LOOK_S = timedelta(0), 0.1
    sys.exit(main(sys.argv[1:]))
