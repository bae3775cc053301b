"""How each regular job went, as the store keeps it, and what people are told of that, whichever worker did it."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from data.errors import StoreError
from data.queries import inbox
from data.queries import jobs as job_rows
from data.queries.inbox import InboxRow
from data.queries.jobs import JobRow
from data.store import Store
from engine.audit import new_id
from engine.housekeeping import alarm, hanging
from engine.housekeeping.job import Job, Run, Running
from engine.inbox import message

#: What runs more often than this is written down when its result changes, and every so often.
_OFTEN = timedelta(minutes=5)
_log = logging.getLogger(__name__)


class Record:
    """What one worker knows of how jobs went. For the event loop's thread only."""

    def __init__(self, store: Store, told: Callable[[InboxRow], None]) -> None:
        """`told` hears of what people are told of jobs."""
        self._store = store
        self._told = told
        self._last: dict[str, JobRow] = {}
        self._written: dict[str, JobRow] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def begin(self) -> None:
        """Learn from the store how jobs last went."""
        self._last = await self._known()
        self._written = dict(self._last)

    def last(self, name: str) -> JobRow | None:
        """How a job last went, as far as this worker knows."""
        return self._last.get(name)

    async def latest(self) -> dict[str, JobRow]:
        """How each job last went, by name, whichever worker did it. Raises StoreError."""
        found = await asyncio.to_thread(job_rows.every, self._store)
        for name, mine in self._last.items():
            if name not in found or found[name].started_at <= mine.started_at:
                found[name] = _hanging_as(mine, found[name]) if name in found else mine
        return found

    async def note(self, job: Job, run: Run) -> None:
        """Keep how a job went that another program did, and tell people when it fails, as of this worker's own.

        A run that another worker has noted, which led before this one, is no second one.
        """
        before = await self._before(job.name)
        if before is not None and before.runs and before.started_at == run.started_at:
            self._last[job.name] = before
            return
        await self.keep(job, run)

    async def keep(self, job: Job, run: Run, running: Running | None = None) -> None:
        """Keep how a job went, and tell people what is news of it; `running` is what it was while it ran here."""
        async with self._turns[job.name]:
            before = await self._before(job.name)
            if running is not None and running.told and before is not None and before.hanging_since != run.started_at:
                _log.warning("a run of %s from %s ended after another one: %s", job.name, run.started_at, run.result)
                return
            await self._keep_after(job, before, run)

    async def tell_hanging(self, run: Running, at: datetime) -> None:
        """Tell people that a run hangs, unless they know, or were told so of the job within the hour."""
        async with self._turns[run.job.name]:
            if not run.ended:
                try:
                    run.told = await self._told_hanging(run, at)
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

    async def _known(self) -> dict[str, JobRow]:
        try:
            found = await asyncio.to_thread(job_rows.every, self._store)
        except StoreError as error:
            _log.warning("how jobs last went is not known, they begin anew: %s", error)
            return {}
        return {name: row for name, row in found.items() if row.runs}

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
