"""Who is told when a regular job does not end, and that it has ended; and what a worker that stops still keeps."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from data.errors import StoreUnavailable
from data.protocol import Work
from data.queries import jobs as job_rows
from data.queries.jobs import JobRow
from data.tasks import Tasks
from engine.desk import Desk
from engine.housekeeping import alarm, hanging
from engine.housekeeping.alarm import News, after
from engine.housekeeping.housekeeper import Housekeeper
from engine.housekeeping.job import Job, Run
from engine.housekeeping.store_jobs import store_jobs
from engine.secrets import SecretBox
from tests.engine.receivers import free_port, until
from tests.engine.traffic import MINUTE, NOON, rows

ROOT = Path(__file__).parents[3]
HOUR = timedelta(hours=1)
HANGS, ENDED = (f"The regular job tidy {word}" for word in ("hangs", News.ENDED))


async def nothing(_at):
    return ""


@pytest.mark.parametrize(
    ("every", "within", "expected"),
    [
        (timedelta(seconds=5), None, 10 * MINUTE),
        (30 * MINUTE, None, 30 * MINUTE),
        (24 * HOUR, None, HOUR),
        (24 * HOUR, 3 * HOUR, 3 * HOUR),
    ],
    ids=["often", "now and then", "daily", "as it says"],
)
def test_a_run_hangs_after_as_long_as_is_usual_between_runs_within_bounds(every, within, expected):
    assert Job("tidy", "Tidy up", every, nothing, within=within).hangs_after == expected


@pytest.mark.parametrize(
    ("since", "told_at", "at", "due"),
    [
        (None, None, NOON, True),
        (NOON, NOON + HOUR, NOON + 9 * HOUR, False),
        (None, NOON + HOUR, NOON + HOUR + 59 * MINUTE, False),
        (NOON - 9 * HOUR, NOON - HOUR, NOON, True),
        (NOON - 9 * HOUR, NOON + HOUR, NOON, True),
    ],
    ids=["first", "the same run", "another within the hour", "another later", "the clock is set back"],
)
def test_of_a_run_it_is_told_once_and_of_the_next_one_not_within_the_hour(since, told_at, at, due):
    row = JobRow("tidy", NOON, 1.0, True, "", 1, 0, hanging_since=since, hanging_told_at=told_at)
    assert hanging.is_due(row, NOON, at) is due


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (Run(NOON, 7.2e6, True, "tidy"), "has ended at 2026-03-01 14:00 UTC; it went well: tidy."),
        (Run(NOON + HOUR, 1.0, True, "tidy"), "with no known end, and has been done anew since; it went well: tidy."),
        (Run(NOON, 7.2e6, False, "no disk"), "has ended at 2026-03-01 14:00 UTC; it failed: no disk."),
    ],
    ids=["well", "another run", "failed"],
)
def test_its_end_is_told_with_what_came_of_it(run, words):
    job = Job("tidy", "Tidy up", HOUR, nothing)
    before = JobRow("tidy", NOON - HOUR, 1.0, True, "", 1, 0, hanging_since=NOON, hanging_told_at=NOON + HOUR)
    row, news = after(job, before, run)
    assert (news, row.hanging_since, row.runs) == (News.ENDED, None, 2)
    said = alarm.notice(job, before, row, news)
    assert said.summary in {
        f"What it does (tidy up) was begun at 2026-03-01 12:00 UTC{s}{words}" for s in (" and ", ", ")
    }
    assert said.severity == ("info" if run.ok else "high")
    assert alarm.untold(row, before).hanging_since == NOON


class Endless:
    """A job that ends when it is let, and a worker that does it, with what its listeners hear."""

    def __init__(self, store, within=timedelta(seconds=0.05), leads=lambda: True):
        self.at, self.free, self.begun, self.heard = NOON, asyncio.Event(), 0, []
        self.trouble = None
        job = Job("tidy", "Tidy up", HOUR, self._run, within=within)
        self.keeper = Housekeeper(store, [job], leads, now=lambda: self.at, told=self.heard.append)

    async def _run(self, _at):
        self.begun += 1
        await self.free.wait()
        if self.trouble:
            raise self.trouble
        return "tidy"

    async def looks(self, *, until_told=1):
        """Look until so much has been told of it."""
        async with asyncio.timeout(60):
            while len(self.heard) < until_told:
                await asyncio.sleep(0.02)
                await self.keeper.look()


def titles(store):
    return [title.split("] ")[-1] for (title,) in rows(store, "inbox", "title")]


async def test_a_job_that_hangs_is_told_in_the_app_once_and_its_end_too(store):
    worker, tasks = Endless(store), Tasks()
    running = tasks.start(worker.keeper.do("tidy", by="ada"), name="tidy")
    await until(lambda: worker.begun)
    assert worker.keeper.running_since("tidy") == NOON
    worker.at = NOON + HOUR
    await worker.looks()
    for _ in range(3):
        await worker.keeper.look()
    assert titles(store) == [HANGS]
    ((body, severity),) = rows(store, "inbox", "body", "severity")
    assert (severity, body.split(", ")[0]) == (
        "high",
        "What it does (tidy up) was begun at 2026-03-01 12:00 UTC and has not ended",
    )
    latest = (await worker.keeper.latest())["tidy"]
    assert (latest.runs, latest.hanging_since) == (0, NOON)
    worker.free.set()
    assert (await running).ok
    assert worker.keeper.running_since("tidy") is None
    assert titles(store) == [HANGS, ENDED]
    assert [row.title.split("] ")[-1] for row in worker.heard] == [HANGS, ENDED]
    row = job_rows.every(store)["tidy"]
    assert (row.runs, row.ok, row.hanging_since) == (1, True, None)


async def test_one_that_ends_in_time_or_hangs_again_within_the_hour_is_not_told(store):
    worker, tasks = Endless(store, within=HOUR), Tasks()
    running = tasks.start(worker.keeper.do("tidy", by="ada"), name="tidy")
    await until(lambda: worker.begun)
    await worker.keeper.look()
    worker.free.set()
    await running
    assert worker.heard == []

    again = Endless(store)
    for minute, expected in ((1, 2), (30, 2), (62, 4)):
        again.at = NOON + minute * MINUTE
        again.free.clear()
        running = tasks.start(again.keeper.do("tidy", by="ada"), name="tidy")
        await until(lambda: again.keeper.running_since("tidy"))
        await asyncio.sleep(0.06)
        await again.keeper.look()
        again.free.set()
        await running
        assert len(again.heard) == expected
    assert titles(store) == [HANGS, ENDED] * 2


async def test_what_could_not_be_told_is_told_by_the_next_look(store, monkeypatch):
    worker, tasks = Endless(store), Tasks()
    tasks.start(worker.keeper.do("tidy", by="ada"), name="tidy")
    await until(lambda: worker.begun)
    tries = []

    def away(made):
        tries.append(made)
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(worker.keeper._store, "transact", away)
        while not tries:
            await asyncio.sleep(0.02)
            await worker.keeper.look()
    assert titles(store) == []
    await worker.looks()
    assert titles(store) == [HANGS]
    await tasks.stop()


async def test_a_worker_that_takes_over_ends_the_alarm_and_the_run_that_hung_says_nothing_more(store):
    leads = [True]
    first, tasks = Endless(store, leads=lambda: leads[0]), Tasks()
    hung = tasks.start(first.keeper.do("tidy", by="ada"), name="tidy")
    await until(lambda: first.begun)
    await first.looks()
    leads[0] = False

    second = Endless(store)
    second.at = NOON + HOUR
    second.free.set()
    assert (await second.keeper.do("tidy", by="ada")).ok
    assert titles(store) == [HANGS, ENDED]
    assert "has been done anew" in rows(store, "inbox", "body")[1][0]

    first.trouble = ValueError("what it waited for is gone")
    first.free.set()
    assert not (await hung).ok
    assert titles(store) == [HANGS, ENDED]
    row = job_rows.every(store)["tidy"]
    assert (row.started_at, row.ok, row.runs) == (NOON + HOUR, True, 1)


async def test_two_workers_whose_runs_hang_tell_it_once(store):
    one, two, tasks = Endless(store), Endless(store), Tasks()
    two.at = NOON + MINUTE
    for each in (one, two):
        tasks.start(each.keeper.do("tidy", by="ada"), name="tidy")
        await until(lambda each=each: each.begun)
    await one.looks()
    await asyncio.sleep(0.06)
    await two.keeper.look()
    assert titles(store) == [HANGS]
    two.free.set()
    await until(lambda: titles(store) == [HANGS, ENDED])
    await tasks.stop()


async def test_a_worker_that_has_known_the_job_for_long_learns_from_the_store_that_it_hangs(store):
    first, second, tasks = Endless(store), Endless(store), Tasks()
    second.free.set()
    await second.keeper.do("tidy", by="ada")  # both know the same last run
    first.at, second.at = NOON + HOUR, NOON + 2 * HOUR
    tasks.start(first.keeper.do("tidy", by="ada"), name="tidy")
    await until(lambda: first.begun)
    await first.looks()
    assert (await second.keeper.latest())["tidy"].hanging_since == NOON + HOUR
    await second.keeper.do("tidy", by="ada")
    assert titles(store) == [HANGS, ENDED]
    await tasks.stop()


async def test_a_job_of_the_stores_own_that_hangs_is_told_of_too(store, config, running):
    desk = Desk(config, SecretBox(config.home), connected=store)
    job, at = store_jobs(desk), [NOON + 9 * MINUTE]
    desk.housekeeper = Housekeeper(store, [job], lambda: True, now=lambda: at[0])
    begun = Work("compaction", "Merge sums", 10, running_since=NOON)
    for minute, messages in ((9, 0), (11, 1), (30, 1), (90, 1)):
        at[0] = NOON + minute * MINUTE
        running.service.work["compaction"] = begun
        await job.run(at[0])
        assert len(titles(store)) == messages
    desk.housekeeper = Housekeeper(store, [job], lambda: True)  # another worker leads
    await job.run(at[0])
    ended = msgspec.structs.replace(begun, running_since=None, started_at=NOON, duration_ms=6e6, runs=1)
    running.service.work["compaction"] = ended
    await job.run(at[0])
    assert titles(store) == [f"The regular job compaction {word}" for word in ("hangs", News.ENDED)]
    assert job_rows.every(store)["compaction"].runs == 1


async def test_a_worker_that_stops_finishes_writing_down_how_a_job_went(store, monkeypatch):
    worker, tasks, writing, go_on = Endless(store), Tasks(), threading.Event(), threading.Event()
    transact = store.transact

    def slowly(made):
        if "jobs" in str(made[0].sql):
            writing.set()
            go_on.wait(60)
        return transact(made)

    monkeypatch.setattr(store, "transact", slowly)
    worker.free.set()
    monkeypatch.setattr("engine.housekeeping.housekeeper._AT_START", timedelta(0))
    keeping = tasks.start(worker.keeper.run(), name="jobs")
    await until(writing.is_set)
    keeping.cancel()
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.1, go_on.set)
    await asyncio.wait([keeping], timeout=60)
    assert job_rows.every(store)["tidy"].runs == 1


async def test_a_write_that_hangs_keeps_no_worker_from_stopping(store, monkeypatch):
    worker, tasks, writing, go_on = Endless(store), Tasks(), threading.Event(), threading.Event()
    monkeypatch.setattr("engine.housekeeping.housekeeper._AT_START", timedelta(0))
    monkeypatch.setattr("engine.housekeeping.housekeeper._LAST_S", 0.05)
    monkeypatch.setattr(store, "transact", lambda _: (writing.set(), go_on.wait(60)))
    worker.free.set()
    keeping = tasks.start(worker.keeper.run(), name="jobs")
    await until(writing.is_set)
    keeping.cancel()
    await asyncio.wait([keeping], timeout=30)
    assert keeping.cancelled()
    go_on.set()


@contextmanager
def hung_worker(home, port):
    command = [sys.executable, "-m", "tests.engine.hanging_worker", "--home", str(home), "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def jobs_of(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/jobs", timeout=5) as answer:
        return {job["name"]: job for job in json.load(answer)["items"]}


async def test_the_program_tells_of_a_thread_that_hangs_shows_it_and_ends_all_the_same(store, home):
    port = free_port()
    with hung_worker(home, port) as process:
        await asyncio.to_thread(process.stdout.readline)
        await until(lambda: titles(store) == ["The regular job stuck hangs"])
        job = (await asyncio.to_thread(jobs_of, port))["stuck"]
        assert (job["runs"], job["last"], job["failing_since"]) == (0, None, None)
        assert job["running_since"] == job["hanging_since"]
        assert datetime.fromisoformat(job["running_since"]) < datetime.now(UTC)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 60) == 0
        assert process.stderr.read() == ""
