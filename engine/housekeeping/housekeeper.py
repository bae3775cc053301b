"""Runs the regular jobs in the worker that leads, and keeps how each went."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from data.errors import StoreError
from data.queries import jobs as job_rows
from data.queries.jobs import JobRow
from data.store import Store
from engine.audit import clock, entry
from engine.errors import NotFound, Refused
from engine.housekeeping.job import Job, Run

#: What is overdue when the worker starts waits until it has settled down.
_AT_START = timedelta(seconds=5)
#: What runs more often than this is written down when its result changes, and every so often.
_OFTEN = timedelta(minutes=5)
_RESULT_CHARS = 2000
_log = logging.getLogger(__name__)


class Housekeeper:
    """The jobs of one worker. For the event loop's thread only."""

    def __init__(
        self, store: Store, jobs: Sequence[Job], leads: Callable[[], bool], *, now: Callable[[], datetime] = clock
    ) -> None:
        """`leads`: whether this worker is the one that acts."""
        self.jobs = {job.name: job for job in jobs}
        self._store = store
        self._leads = leads
        self._now = now
        self._last: dict[str, JobRow] = {}
        self._written: dict[str, JobRow] = {}
        self._busy: set[str] = set()
        self._scheduler = AsyncIOScheduler(timezone=UTC)

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        self._last = await self._known()
        self._written = dict(self._last)
        for job in self.jobs.values():
            self._schedule(job)
        self._scheduler.start()
        try:
            await asyncio.Event().wait()
        finally:
            self._scheduler.shutdown(wait=False)

    def put(self, name: str, job: Job | None) -> None:
        """Have this job by that name from now on, or none; one that runs now ends by itself."""
        self.jobs.pop(name, None)
        if self._scheduler.get_job(name) is not None:
            self._scheduler.remove_job(name)
        if job is not None:
            self.jobs[name] = job
            if self._scheduler.running:
                self._schedule(job)

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
        return self._last.get(name)

    def next_at(self, name: str) -> datetime | None:
        """When a job is due; None in a worker that has not begun."""
        job = self._scheduler.get_job(name)
        return job.next_run_time if job is not None else None

    async def do(self, name: str, *, by: str) -> Run:
        """Do a job now, as somebody asks for it. Raises NotFound, Refused while it runs."""
        job = self._named(name)
        if name in self._busy:
            raise Refused(f"the job {name} is running")
        await asyncio.to_thread(self._store.transact, [entry(by, "run", "job", name, at=self._now())])
        return await self._do(job, job.run)

    async def rehearse(self, name: str) -> str:
        """What a job would do. Raises NotFound, Refused for one that cannot tell."""
        job = self._named(name)
        if job.rehearse is None:
            raise Refused(f"the job {name} cannot tell what it would do")
        return await job.rehearse(self._now())

    def _named(self, name: str) -> Job:
        if name not in self.jobs:
            raise NotFound(f"there is no job {name}; there is {', '.join(self.jobs)}")
        return self.jobs[name]

    async def _known(self) -> dict[str, JobRow]:
        try:
            return await asyncio.to_thread(job_rows.every, self._store)
        except StoreError as error:
            _log.warning("how jobs last went is not known, they begin anew: %s", error)
            return {}

    def _first(self, job: Job) -> datetime:
        """One that was missed while no worker ran is made up for."""
        soon, last = self._now() + _AT_START, self._last.get(job.name)
        return soon if last is None else max(soon, last.started_at + job.every)

    async def _beat(self, job: Job) -> None:
        if self._leads() and job.name not in self._busy:
            await self._do(job, job.run)

    async def _do(self, job: Job, work: Callable[[datetime], Awaitable[str]]) -> Run:
        self._busy.add(job.name)
        started, begun = self._now(), time.perf_counter()
        try:
            result, ok = await work(started), True
        except Exception as error:  # noqa: BLE001 - whatever it is, the next run tries again and people are told
            result, ok = f"{type(error).__name__}: {error}", False
            if (last := self._last.get(job.name)) is None or last.ok:
                _log.warning("the job %s failed: %s", job.name, result)
        finally:
            self._busy.discard(job.name)
        run = Run(started, (time.perf_counter() - begun) * 1000, ok, result[:_RESULT_CHARS])
        await self._keep(job, run)
        return run

    async def _keep(self, job: Job, run: Run) -> None:
        before = self._last.get(job.name)
        runs, failures = (before.runs, before.failures) if before else (0, 0)
        row = JobRow(
            job.name, run.started_at, run.duration_ms, run.ok, run.result, runs + 1, failures + (0 if run.ok else 1)
        )
        self._last[job.name] = row
        written = self._written.get(job.name)
        same = written is not None and (written.ok, written.result) == (row.ok, row.result)
        if same and written is not None and job.every < _OFTEN and row.started_at - written.started_at < _OFTEN:
            return
        try:
            await asyncio.to_thread(self._store.transact, job_rows.writing(row))
        except StoreError as error:
            _log.warning("how the job %s went could not be kept: %s", job.name, error)
        else:
            self._written[job.name] = row
