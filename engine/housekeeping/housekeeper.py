"""Runs the regular jobs in the worker that leads, keeps how each went, and tells people when one fails or hangs.

A job that hangs is not cancelled: what it does in a thread would go on, and beside it the next run would begin.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from data.errors import StoreError
from data.queries import inbox
from data.queries import jobs as job_rows
from data.queries.inbox import InboxRow
from data.queries.jobs import JobRow
from data.store import Store
from data.tasks import Tasks
from engine.audit import clock, entry, new_id
from engine.clock_watch import watching
from engine.errors import NotFound, Refused, Unwell
from engine.housekeeping import alarm, hanging
from engine.housekeeping.job import Job, Run, Running
from engine.inbox import message

#: What is overdue when the worker starts waits until it has settled down.
_AT_START = timedelta(seconds=5)
#: What runs more often than this is written down when its result changes, and every so often.
_OFTEN = timedelta(minutes=5)
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
        self._told = told
        self._last: dict[str, JobRow] = {}
        self._written: dict[str, JobRow] = {}
        self._busy: set[str] = set()
        self._running: dict[str, Running] = {}
        self._keeping = Tasks()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._scheduler = AsyncIOScheduler(timezone=UTC)

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        self._last = await self._known()
        self._written = dict(self._last)
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
        return self._last.get(name)

    def running_since(self, name: str) -> datetime | None:
        """When the run of a job began that goes on in this worker; None while none does."""
        running = self._running.get(name)
        return running.started_at if running is not None else None

    async def latest(self) -> dict[str, JobRow]:
        """How each job last went, by name, whichever worker did it. Raises StoreError."""
        found = await asyncio.to_thread(job_rows.every, self._store)
        for name, mine in self._last.items():
            if name not in found or found[name].started_at <= mine.started_at:
                found[name] = _hanging_as(mine, found[name]) if name in found else mine
        return found

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

    async def note(self, job: Job, run: Run) -> None:
        """Keep how a job went that another program did, and tell people when it fails, as of this worker's own.

        A run that another worker has noted, which led before this one, is no second one.
        """
        before = await self._before(job.name)
        if before is not None and before.runs and before.started_at == run.started_at:
            self._last[job.name] = before
            return
        await self._keep(job, run)

    async def look(self) -> None:
        """Tell people of jobs that hang; of a run once."""
        for each in [*self._running.values()]:
            if not each.told and time.monotonic() - each.begun > each.job.hangs_after.total_seconds():
                await self._tell_hanging(each)

    async def note_running(self, job: Job, since: datetime) -> None:
        """Tell people that a job hangs which another program does, as of this worker's own."""
        if self._now() - since > job.hangs_after:
            await self._tell_hanging(Running(job, since, 0.0))

    async def _tell_hanging(self, run: Running) -> None:
        async with self._turns[run.job.name]:
            if not run.ended:
                try:
                    run.told = await self._told_hanging(run, self._now())
                except StoreError as error:
                    _log.warning("that the job %s hangs could not be told: %s", run.job.name, error)

    async def _told_hanging(self, run: Running, at: datetime) -> bool:
        """Whether people have been told, now or before. Raises StoreError."""
        job, since = run.job, run.started_at
        before = await asyncio.to_thread(job_rows.by_name, self._store, job.name)
        if not hanging.is_due(before, since, at):
            return hanging.is_told(before, since)
        _log.warning("the job %s hangs since %s", job.name, since)
        posted = message(new_id(), hanging.notice(job, since, at))
        kept = job_rows.hanging(before, job.name, since, at)
        await asyncio.to_thread(self._store.transact, [kept, inbox.posting(posted)])
        if (mine := self._last.get(job.name)) is not None:
            self._last[job.name] = replace(mine, hanging_since=since, hanging_told_at=at)
        self._told(posted)
        return True

    def _named(self, name: str) -> Job:
        if name not in self.jobs:
            raise NotFound(f"there is no job {name}; there is {', '.join(self.jobs)}")
        return self.jobs[name]

    async def _known(self) -> dict[str, JobRow]:
        try:
            found = await asyncio.to_thread(job_rows.every, self._store)
        except StoreError as error:
            _log.warning("how jobs last went is not known, they begin anew: %s", error)
            return {}
        return {name: row for name, row in found.items() if row.runs}

    def _first(self, job: Job) -> datetime:
        """One that was missed while no worker ran is made up for."""
        now, last = self._now(), self._last.get(job.name)
        # one that lies ahead was done before the clock was set back
        return now + _AT_START if last is None else max(now + _AT_START, min(last.started_at, now) + job.every)

    async def _beat(self, job: Job) -> None:
        if self._leads() and job.name not in self._busy:
            await self._do(job, job.run)

    async def _do(self, job: Job, work: Callable[[datetime], Awaitable[str]]) -> Run:
        self._busy.add(job.name)
        try:
            running = self._running[job.name] = Running(job, self._now(), time.monotonic())
            try:
                run = await self._tried(job, work, running.started_at)
            finally:
                running.ended = True
                del self._running[job.name]
            keeping = self._keeping.start(self._keep(job, run, running), name=f"keep how {job.name} went")
            await asyncio.shield(keeping)  # a worker that stops finishes it
        finally:
            self._busy.discard(job.name)
        return run

    async def _tried(self, job: Job, work: Callable[[datetime], Awaitable[str]], started: datetime) -> Run:
        begun, elsewhere = time.perf_counter(), False
        try:
            result, ok = await work(started), True
        except Exception as error:  # noqa: BLE001 - whatever it is, the next run tries again and people are told
            result, ok = alarm.without_secrets(f"{type(error).__name__}: {error}"), False
            elsewhere = isinstance(error, Unwell)
            if (last := self._last.get(job.name)) is None or last.ok:
                _log.warning("the job %s failed: %s", job.name, result)
        return Run(started, (time.perf_counter() - begun) * 1000, ok, result[:_RESULT_CHARS], elsewhere)

    async def _keep(self, job: Job, run: Run, running: Running | None = None) -> None:
        async with self._turns[job.name]:
            before = await self._before(job.name)
            if running is not None and running.told and before is not None and before.hanging_since != run.started_at:
                _log.warning("a run of %s from %s ended after another one: %s", job.name, run.started_at, run.result)
                return
            await self._keep_after(job, before, run)

    async def _keep_after(self, job: Job, before: JobRow | None, run: Run) -> None:
        row, news = alarm.after(job, before, run)
        self._last[job.name] = alarm.untold(row, before)
        if news is None and not self._is_written(job, row):
            return
        posted = None if news is None else message(new_id(), alarm.notice(job, before, row, news))
        also = [] if posted is None else [inbox.posting(posted)]
        try:
            await asyncio.to_thread(self._store.transact, [*job_rows.writing(row), *also])
        except StoreError as error:
            _log.warning("how the job %s went could not be kept: %s", job.name, error)
            return
        self._last[job.name] = self._written[job.name] = row
        if posted is not None:
            self._told(posted)

    async def _before(self, name: str) -> JobRow | None:
        """How it last went, whichever worker did it: what one has told, another does not tell again."""
        mine, written = self._last.get(name), self._written.get(name)
        try:
            kept = await asyncio.to_thread(job_rows.by_name, self._store, name)
        except StoreError:
            return mine
        if kept is None or mine is None:
            return kept or mine
        if written is None or kept.started_at > written.started_at:
            return kept
        return _hanging_as(mine, kept)

    def _is_written(self, job: Job, row: JobRow) -> bool:
        """Whether it is written down how a job went: what runs often only now and then, unless it has changed."""
        written = self._written.get(job.name)
        if written is None or (written.ok, written.result) != (row.ok, row.result) or job.every >= _OFTEN:
            return True
        return abs(row.started_at - written.started_at) >= _OFTEN  # also where the clock was set back


def _hanging_as(row: JobRow, kept: JobRow) -> JobRow:
    """Whether people were told that it hangs is known from the store alone: another worker may have told them."""
    return replace(row, hanging_since=kept.hanging_since, hanging_told_at=kept.hanging_told_at)
