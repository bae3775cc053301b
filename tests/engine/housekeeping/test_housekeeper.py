"""Jobs run when they are due, in the worker that leads, and how each went is kept."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from data.queries import jobs as job_rows
from data.queries.jobs import JobRow
from data.tasks import Tasks
from engine.errors import NotFound, Refused
from engine.housekeeping.housekeeper import Housekeeper
from engine.housekeeping.job import Job
from tests.engine.receivers import until
from tests.engine.traffic import NOON

HOUR = timedelta(hours=1)


class Counted:
    """A job that counts its runs; `trouble` is raised."""

    def __init__(self, name: str = "count", every: timedelta = HOUR) -> None:
        self.runs = 0
        self.trouble: Exception | None = None
        self.going = asyncio.Event()
        self.going.set()
        self.job = Job(name, "Count", every, self._run, self._rehearse)

    async def _run(self, _at: datetime) -> str:
        self.runs += 1
        await self.going.wait()
        if self.trouble:
            raise self.trouble
        return f"run {self.runs}"

    async def _rehearse(self, _at: datetime) -> str:
        return f"would be run {self.runs + 1}"


@asynccontextmanager
async def keeping(store, *jobs: Job, leads=lambda: True, now=lambda: datetime.now(UTC)):
    tasks, keeper = Tasks(), Housekeeper(store, jobs, leads, now=now)
    tasks.start(keeper.run(), name="jobs")
    try:
        yield keeper
    finally:
        await tasks.stop()


def kept(store, name: str, started_at: datetime, *, ok: bool = True) -> None:
    store.transact(job_rows.writing(JobRow(name, started_at, 1.0, ok, "before", 7, 2)))


async def test_a_job_that_was_missed_while_no_worker_ran_is_made_up_for(store, monkeypatch):
    monkeypatch.setattr("engine.housekeeping.housekeeper._AT_START", timedelta(0))
    missed, done = Counted("missed"), Counted("done")
    kept(store, "missed", datetime.now(UTC) - 2 * HOUR)
    kept(store, "done", datetime.now(UTC) - HOUR / 2)
    async with keeping(store, missed.job, done.job) as keeper:
        await until(lambda: job_rows.every(store)["missed"].result == "run 1")
        due = keeper.next_at("done")
        assert due is not None
        assert HOUR / 3 < due - datetime.now(UTC) < HOUR
    assert (missed.runs, done.runs) == (1, 0)
    assert (job_rows.every(store)["missed"].runs, job_rows.every(store)["missed"].failures) == (8, 2)


async def test_a_worker_that_stands_by_does_nothing(store, monkeypatch):
    monkeypatch.setattr("engine.housekeeping.housekeeper._AT_START", timedelta(0))
    leading, mine, theirs = [False], Counted("mine", timedelta(seconds=1)), Counted("theirs", timedelta(seconds=1))
    async with keeping(store, mine.job, leads=lambda: leading[0]), keeping(store, theirs.job):
        await until(lambda: theirs.runs >= 2)
        assert mine.runs == 0
        leading[0] = True
        await until(lambda: mine.runs)


async def test_a_failure_is_kept_with_its_reason_and_the_next_run_tries_again(store):
    job = Counted()
    async with keeping(store, job.job) as keeper:
        await until(lambda: keeper.next_at("count"))
        job.trouble = ValueError("no disk")
        failed = await keeper.do("count", by="ann")
        assert (failed.ok, failed.result) == (False, "ValueError: no disk")
        job.trouble = None
        assert (await keeper.do("count", by="ann")).ok
    row = job_rows.every(store)["count"]
    assert (row.ok, row.result, row.runs, row.failures) == (True, "run 2", 2, 1)
    lines = store.sql("SELECT actor, action, object_kind, object_id FROM audit_log").rows()
    assert lines == [("ann", "run", "job", "count")] * 2


async def test_a_job_is_not_run_twice_at_once_and_an_unknown_one_is_named(store):
    job = Counted()
    async with keeping(store, job.job) as keeper:
        job.going.clear()
        tasks = Tasks()
        first = tasks.start(keeper.do("count", by="ann"), name="first")
        await until(lambda: job.runs)
        with pytest.raises(Refused, match="is running"):
            await keeper.do("count", by="bob")
        job.going.set()
        assert (await first).ok
        with pytest.raises(NotFound, match="no job nonsense; there is count"):
            await keeper.do("nonsense", by="bob")
    assert job.runs == 1


async def test_of_two_who_ask_for_it_at_once_one_is_refused(store):
    job = Counted()
    keeper = Housekeeper(store, [job.job], lambda: True)
    asked = await asyncio.gather(*(keeper.do("count", by=name) for name in ("ann", "bob")), return_exceptions=True)
    assert [isinstance(each, Refused) for each in asked] == [False, True]
    assert job.runs == 1
    assert store.sql("SELECT actor FROM audit_log").rows() == [("ann",)]


async def test_a_rehearsal_does_nothing(store):
    job, mute = Counted(), Job("mute", "", HOUR, Counted().job.run)
    keeper = Housekeeper(store, [job.job, mute], lambda: True)
    assert await keeper.rehearse("count") == "would be run 1"
    assert job.runs == 0
    with pytest.raises(Refused, match="cannot tell"):
        await keeper.rehearse("mute")


async def test_what_runs_often_is_written_down_only_when_it_has_changed(store):
    at, job = [NOON], Counted("often", timedelta(seconds=5))
    job.job = Job("often", "", timedelta(seconds=5), lambda _at: same())
    keeper = Housekeeper(store, [job.job], lambda: True, now=lambda: at[0])
    await keeper.do("often", by="ann")
    at[0] += timedelta(seconds=5)
    await keeper.do("often", by="ann")
    assert job_rows.every(store)["often"].runs == 1
    at[0] += timedelta(minutes=5)
    await keeper.do("often", by="ann")
    assert job_rows.every(store)["often"].runs == 3


async def same() -> str:
    return "all is well"
