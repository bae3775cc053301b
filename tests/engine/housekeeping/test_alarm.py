"""Who is told when a regular job fails, and when it works again: whom, how often, and in which words."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from data.errors import StoreUnavailable
from data.protocol import Work
from data.queries import jobs as job_rows
from data.queries.jobs import JobRow
from engine.desk import Desk
from engine.errors import DeliveryError, Unwell
from engine.housekeeping.alarm import News, after, untold, without_secrets
from engine.housekeeping.housekeeper import Housekeeper
from engine.housekeeping.job import Job, Run
from engine.housekeeping.store_jobs import store_jobs
from engine.inbox import shown
from engine.secrets import SecretBox
from tests.engine.traffic import MINUTE, NOON, rows

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FAILS, WORKS = News.FAILS, News.WORKS


async def nothing(_at):
    return ""


def often(every=MINUTE):
    return Job("often", "Do it often", every, nothing)


def told(job, runs):
    """What is told at which minute of runs at (minute, whether it went well)."""
    row, found = None, []
    for minute, ok in runs:
        row, news = after(job, row, Run(NOON + minute * MINUTE, 1.0, ok, "" if ok else "broken"))
        found += [(minute, news)] if news else []
    return found


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([(0, True), (1, True)], []),
        ([(0, False), (1, True), (2, False), (3, True)], []),
        ([(0, False), (1, False), (2, False), (3, True), (4, True)], [(1, FAILS), (3, WORKS)]),
        ([(n, False) for n in range(130)], [(1, FAILS), (61, FAILS), (121, FAILS)]),
        # it comes and goes: within the hour nothing of the second time, so that nothing is owed of its end either
        ([(n, n % 3 == 2) for n in range(12)], [(1, FAILS), (2, WORKS)]),
        (
            [(0, False), (1, False), (2, True), *((n, False) for n in range(3, 70))],
            [(1, FAILS), (2, WORKS), (61, FAILS)],
        ),
        (
            [(0, False), (1, False), (-120, False), (-119, False), (-60, False)],
            [(1, FAILS), (-120, FAILS), (-60, FAILS)],
        ),
    ],
    ids=["well", "once", "twice", "on and on", "to and fro", "again", "the clock is set back"],
)
def test_what_runs_often_is_told_of_from_the_second_failure_on_once_an_hour(runs, expected):
    assert told(often(), runs) == expected


def test_what_runs_daily_is_told_of_at_once_and_by_each_run_but_not_by_those_between():
    day = 24 * 60
    runs = [(0, False), (5, False), (day - 1, False), (2 * day, False), (2 * day + 1, True)]
    assert told(often(DAY), runs) == [(0, FAILS), (day - 1, FAILS), (2 * day, FAILS), (2 * day + 1, WORKS)]


def test_a_run_that_failed_for_what_is_told_by_itself_alarms_nobody():
    job, row = often(), None
    for minute in range(5):
        row, news = after(job, row, Run(NOON + minute * MINUTE, 1.0, False, "not sent", elsewhere=True))
        assert news is None
    assert (row.failures, row.in_a_row, row.failing_since) == (5, 0, None)


def test_news_that_could_not_be_told_are_owed():
    job, row = often(), None
    for minute in range(3):
        before = row
        made, news = after(job, before, Run(NOON + minute * MINUTE, 1.0, False, "x"))
        row = untold(made, before)
    assert (news, row.alarmed, row.in_a_row) == (FAILS, False, 3)
    told_row, _ = after(job, row, Run(NOON + 3 * MINUTE, 1.0, False, "x"))
    well, news = after(job, told_row, Run(NOON + 4 * MINUTE, 1.0, True, ""))
    assert news is WORKS
    owed = untold(well, told_row)
    assert (owed.alarmed, owed.failing_since) == (True, NOON)
    assert after(job, owed, Run(NOON + 5 * MINUTE, 1.0, True, ""))[1] is WORKS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no https://hc.example/0f-secret?x=1 there", "no https://hc.example/… there"),
        ("http://me:word@host:81/p", "http://host:81/…"),
        ("https://host and /etc/passwd", "https://host and /etc/passwd"),
        ("InvalidURL: https://hooks.example/T0/B0/tok", "InvalidURL: https://hooks.example/…"),
    ],
    ids=["path", "user", "none", "last"],
)
def test_of_an_address_only_the_host_is_told(text, expected):
    assert without_secrets(text) == expected


class Worker:
    """A housekeeper with one job that fails while there is `trouble`, its clock, and what its listeners hear."""

    def __init__(self, store, config, every=MINUTE, at=NOON):
        self.at, self.trouble = at, None
        self.desk = Desk(config, SecretBox(config.home), connected=store)
        job = Job("tidy", "Tidy up", every, self._run)
        heard = lambda row: shown(self.desk.hub, row)  # noqa: E731
        self.keeper = Housekeeper(store, [job], lambda: True, now=lambda: self.at, told=heard)

    async def _run(self, _at):
        if self.trouble:
            raise self.trouble
        return "tidy"

    async def does(self, *minutes, trouble=None):
        self.trouble = trouble
        for minute in minutes:
            self.at = NOON + minute * MINUTE
            await self.keeper.do("tidy", by="ada")


def said(store):
    return rows(store, "inbox", "title", "body", "severity")


async def test_a_failing_job_is_told_in_the_app_with_since_when_and_why_and_its_end_too(store, config):
    worker = Worker(store, config)
    with worker.desk.hub.listening() as heard:
        await worker.does(0, 1, 2, trouble=DeliveryError("not a usable address: https://hc.example/secret"))
        assert heard.get_nowait()["title"] == "[MESSAGE] [HIGH] The regular job tidy fails"
        await worker.does(3)
        assert heard.get_nowait()["title"] == "[MESSAGE] [INFO] The regular job tidy works again"
        assert heard.empty()
    why = "DeliveryError: not a usable address: https://hc.example/…"
    assert said(store) == [
        (
            "[MESSAGE] [HIGH] The regular job tidy fails",
            f"What it does (tidy up) has not been done since 2026-03-01 12:00 UTC, 2 times in a row: {why}",
            "high",
        ),
        (
            "[MESSAGE] [INFO] The regular job tidy works again",
            "What it does (tidy up) is done again; it had failed since 2026-03-01 12:00 UTC.",
            "info",
        ),
    ]
    assert "secret" not in str(store.sql("SELECT result FROM jobs").rows())


async def test_neither_a_restart_nor_another_worker_tells_it_once_more(store, config):
    first, other = Worker(store, config, DAY), Worker(store, config, DAY)
    await first.does(0, trouble=ValueError("no disk"))
    await other.does(30, trouble=ValueError("no disk"))
    await Worker(store, config, DAY).does(60, trouble=ValueError("no disk"))
    assert [title for title, *_ in said(store)] == ["[MESSAGE] [HIGH] The regular job tidy fails"]

    await other.does(90)
    await first.does(91)
    await Worker(store, config, DAY).does(92)
    assert len(said(store)) == 2
    row = job_rows.every(store)["tidy"]
    assert (row.runs, row.failures, row.in_a_row, row.failing_since, row.alarmed) == (6, 3, 0, None, False)


async def test_what_the_store_did_not_take_is_told_by_the_next_run(store, config, monkeypatch):
    worker = Worker(store, config, DAY)

    def away(_):
        raise StoreUnavailable("away")

    await worker.does(0)
    keep = worker.keeper._store.transact
    with monkeypatch.context() as patch:
        patch.setattr(worker.keeper._store, "transact", lambda made: away(made) if len(made) > 1 else keep(made))
        await worker.does(1, trouble=ValueError("no disk"))
    assert said(store) == []
    await worker.does(2, trouble=ValueError("no disk"))
    assert ["since 2026-03-01 12:01 UTC, 2 times in a row" in body for _, body, _ in said(store)] == [True]


async def test_a_heartbeat_that_is_left_out_alarms_nobody_for_what_the_watch_tells(store, config):
    worker = Worker(store, config)
    await worker.does(0, 1, 2, trouble=Unwell("not sent: the last evaluation failed"))
    assert said(store) == []


async def test_the_stores_own_jobs_are_told_of_too(store, config, running):
    desk = Desk(config, SecretBox(config.home), connected=store)
    job = store_jobs(desk)
    desk.housekeeper = Housekeeper(store, [job], lambda: True)
    work = running.service.work
    assert await job.run(NOON) == "all went well"
    for minute, messages in ((0, 0), (0, 0), (1, 1), (2, 1)):
        work["compaction"] = replace_work(work, minute, ok=False)
        last = await job.run(NOON)
        assert len(said(store)) == messages
    assert last == "compaction failed: too little free disk space"
    work["compaction"] = replace_work(work, 3, ok=True)
    await job.run(NOON)
    titles = [title for title, *_ in said(store)]
    assert titles == [f"[MESSAGE] [{s}] The regular job compaction {w}" for s, w in (("HIGH", FAILS), ("INFO", WORKS))]
    assert "since 2026-03-01 12:00 UTC, 2 times in a row: too little free disk space" in said(store)[0][1]


async def test_a_worker_that_takes_over_counts_no_run_of_the_store_twice(store, config, running):
    def worker():
        desk = Desk(config, SecretBox(config.home), connected=store)
        job = store_jobs(desk)
        desk.housekeeper = Housekeeper(store, [job], lambda: True)
        return job

    running.service.work["compaction"] = replace_work({}, 0, ok=False)
    for job in (worker(), worker(), worker()):
        await job.run(NOON)
        await job.run(NOON)
    assert said(store) == []
    row = job_rows.every(store)["compaction"]
    assert (row.runs, row.failures, row.in_a_row) == (1, 1, 1)


def replace_work(work, minute, *, ok):
    begun = Work("compaction", "Merge the sums of closed hours and days", 10)
    changes = {"started_at": NOON + minute * MINUTE, "ok": ok, "result": "" if ok else "too little free disk space"}
    return msgspec.structs.replace(work.get("compaction", begun), **changes)


def test_a_row_of_before_alarms_has_none(store):
    row = JobRow("tidy", NOON, 1.0, False, "x", 3, 1)
    store.transact(job_rows.writing(row))
    assert job_rows.by_name(store, "tidy") == replace(row, in_a_row=0)
    assert job_rows.by_name(store, "other") is None
