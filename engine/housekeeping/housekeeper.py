"""Runs the regular jobs in the worker that leads, and sees when one hangs; `record` keeps how each went.

A job that hangs is not cancelled: what it does in a thread would go on, and beside it the next run would begin.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from data.queries.inbox import InboxRow
from data.queries.jobs import JobRow
from data.store import Store
from data.tasks import Tasks
from engine.audit import clock, entry
from engine.clock_watch import watching
from engine.errors import NotFound, Refused, Unwell
from engine.housekeeping import alarm
from engine.housekeeping.job import Job, Run, Running
from engine.housekeeping.record import Record

#: What is overdue when the worker starts waits until it has settled down.
_AT_START = timedelta(seconds=5)
_RESULT_CHARS = 2000
#: How often it is looked for jobs that hang.
_LOOK_S = 15
#: How long a worker that stops waits until it is written down how the last jobs went.
_LAST_S = 5.0
_log = logging.getLogger(__name__)


class Housekeeper:
    """The jobs of one worker. For the event loop's thread only."""

    def __init__(
        self,
        store: Store,
        jobs: Sequence[Job],
        leads: Callable[[], bool],
        *,
        now: Callable[[], datetime] = clock,
        told: Callable[[InboxRow], None] = lambda _: None,
    ) -> None:
        """`leads`: whether this worker is the one that acts; `told` hears of what people are told of jobs."""
        self.jobs = {job.name: job for job in jobs}
        self._store = store
        self._leads = leads
        self._now = now
        self._record = Record(store, told)
        self._busy: set[str] = set()
        self._running: dict[str, Running] = {}
        self._keeping = Tasks()
        self._scheduler = AsyncIOScheduler(timezone=UTC)

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        await self._record.begin()
        for job in self.jobs.values():
            self._schedule(job)
        self._scheduler.add_job(self.look, IntervalTrigger(seconds=_LOOK_S, timezone=UTC), misfire_grace_time=None)
        self._scheduler.start()
        try:
            await watching(self._now, self._clock_set_back)
        finally:
            self._scheduler.shutdown(wait=False)
            await self._keeping.finish(_LAST_S)

    def put(self, name: str, job: Job | None) -> None:
        """Have this job by that name from now on, or none; one that runs now ends by itself."""
        self.jobs.pop(name, None)
        if self._scheduler.get_job(name) is not None:
            self._scheduler.remove_job(name)
        if job is not None:
            self.jobs[name] = job
            if self._scheduler.running:
                self._schedule(job)

    def _clock_set_back(self, by: timedelta) -> None:
        """Let no job wait until the clock has caught up."""
        for job in self._scheduler.get_jobs():
            if job.next_run_time is not None:
                job.modify(next_run_time=job.next_run_time - by)

    def _schedule(self, job: Job) -> None:
        self._scheduler.add_job(
            self._beat,
            IntervalTrigger(seconds=max(job.every.total_seconds(), 1), timezone=UTC),
            args=[job],
            id=job.name,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
            next_run_time=self._first(job),
        )

    def last(self, name: str) -> JobRow | None:
        """How a job last went, as far as this worker knows."""
        return self._record.last(name)

    async def latest(self) -> dict[str, JobRow]:
        """How each job last went, by name, whichever worker did it. Raises StoreError."""
        return await self._record.latest()

    def running_since(self, name: str) -> datetime | None:
        """When the run of a job began that goes on in this worker; None while none does."""
        running = self._running.get(name)
        return running.started_at if running is not None else None

    def next_at(self, name: str) -> datetime | None:
        """When a job is due; None in a worker that has not begun."""
        job = self._scheduler.get_job(name)
        return job.next_run_time if job is not None else None

    async def do(self, name: str, *, by: str) -> Run:
        """Do a job now, as somebody asks for it. Raises NotFound, Refused while it runs."""
        job = self._named(name)
        with self._alone(name):
            await asyncio.to_thread(self._store.transact, [entry(by, "run", "job", name, at=self._now())])
            return await self._do(job)

    async def rehearse(self, name: str) -> str:
        """What a job would do. Raises NotFound, Refused for one that cannot tell."""
        job = self._named(name)
        if job.rehearse is None:
            raise Refused(f"the job {name} cannot tell what it would do")
        return await job.rehearse(self._now())

    async def note(self, job: Job, run: Run) -> None:
        """Keep how a job went that another program did, and tell people when it fails, as of this worker's own."""
        await self._record.note(job, run)

    async def look(self) -> None:
        """Tell people of jobs that hang; of a run once."""
        for each in [*self._running.values()]:
            if not each.told and time.monotonic() - each.begun > each.job.hangs_after.total_seconds():
                await self._record.tell_hanging(each, self._now())

    async def note_running(self, job: Job, since: datetime) -> None:
        """Tell people that a job hangs which another program does, as of this worker's own."""
        if self._now() - since > job.hangs_after:
            await self._record.tell_hanging(Running(job, since, 0.0), self._now())

    def _named(self, name: str) -> Job:
        if name not in self.jobs:
            raise NotFound(f"there is no job {name}; there is {', '.join(self.jobs)}")
        return self.jobs[name]

    def _first(self, job: Job) -> datetime:
        """One that was missed while no worker ran is made up for."""
        now, last = self._now(), self.last(job.name)
        # one that lies ahead was done before the clock was set back
        return now + _AT_START if last is None else max(now + _AT_START, min(last.started_at, now) + job.every)

    async def _beat(self, job: Job) -> None:
        if self._leads() and job.name not in self._busy:
            with self._alone(job.name):
                await self._do(job)

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """No other run of the job begins while the block lasts. Raises Refused while one does."""
        if name in self._busy:
            raise Refused(f"the job {name} is running")
        self._busy.add(name)
        try:
            yield
        finally:
            self._busy.discard(name)

    async def _do(self, job: Job) -> Run:
        running = self._running[job.name] = Running(job, self._now(), time.monotonic())
        try:
            run = await self._tried(job, running.started_at)
        finally:
            running.ended = True
            del self._running[job.name]
        keeping = self._keeping.start(self._record.keep(job, run, running), name=f"keep how {job.name} went")
        await asyncio.shield(keeping)  # a worker that stops finishes it
        return run

    async def _tried(self, job: Job, started: datetime) -> Run:
        begun, elsewhere = time.perf_counter(), False
        try:
            result, ok = await job.run(started), True
        except Exception as error:  # noqa: BLE001 - whatever it is, the next run tries again and people are told
            result, ok = alarm.without_secrets(f"{type(error).__name__}: {error}"), False
            elsewhere = isinstance(error, Unwell)
            if (last := self.last(job.name)) is None or last.ok:
                _log.warning("the job %s failed: %s", job.name, result)
        return Run(started, (time.perf_counter() - begun) * 1000, ok, result[:_RESULT_CHARS], elsewhere)
