"""Whether people are told that a job fails, or works again, and in which words. Decided from how it last went.

That it hangs is decided in `hanging`; that this is over, here.
"""

import re
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from typing import Final

from data.queries.jobs import JobRow
from engine.housekeeping.job import Job, Run
from engine.notice import Notice, NoticeStatus

_DAY: Final = timedelta(days=1)
#: A job that is run every so often may fail once.
_PATIENCE: Final = 2
#: That the same job fails is told again after so long; of one that runs daily, by each of its runs.
_AGAIN: Final = timedelta(hours=1)
_AGAIN_DAILY: Final = timedelta(hours=23)
#: What stands behind the host of an address may be a secret: a heartbeat's is known by nothing else.
_ADDRESS: Final = re.compile(r"\b(https?://)(?:[^/\s@]*@)?([^/?#\s]+)[/?#]\S*")


class News(StrEnum):
    """What is told of a job."""

    FAILS = "fails"
    WORKS = "works again"
    ENDED = "hangs no longer"


def after(job: Job, before: JobRow | None, run: Run) -> tuple[JobRow, News | None]:
    """The job's row after a run, as if its news were told, and the news, if there is any.

    A run that failed only because something else is wrong, which is told by itself, alarms nobody.
    """
    last = before or JobRow(job.name, run.started_at, 0.0, ok=True, result="", runs=0, failures=0)
    row = replace(
        last,
        started_at=run.started_at,
        duration_ms=run.duration_ms,
        ok=run.ok,
        result=run.result,
        runs=last.runs + 1,
        failures=last.failures + (not run.ok),
        hanging_since=None,
    )
    row, news = _judged(job, last, row, run)
    return row, News.ENDED if last.hanging_since else news


def _judged(job: Job, last: JobRow, row: JobRow, run: Run) -> tuple[JobRow, News | None]:
    if run.ok:
        row = replace(row, failing_since=None, in_a_row=0, alarmed=False)
        return row, News.WORKS if last.alarmed else None
    if run.elsewhere:
        return row, None
    row = replace(row, failing_since=last.failing_since or run.started_at, in_a_row=last.in_a_row + 1)
    if not _is_due(job, row):
        return row, None
    return replace(row, told_at=run.started_at, alarmed=True), News.FAILS


def _is_due(job: Job, row: JobRow) -> bool:
    daily = job.every >= _DAY
    if row.in_a_row < (1 if daily else _PATIENCE):
        return False
    if row.told_at is None:
        return True
    # also where the clock was set back
    return not timedelta(0) <= row.started_at - row.told_at < (_AGAIN_DAILY if daily else _AGAIN)


def untold(row: JobRow, before: JobRow | None) -> JobRow:
    """The row where its news could not be told: the next run tries again."""
    if before is None:
        return replace(row, told_at=None, alarmed=False)
    since = row.failing_since or (before.failing_since if before.alarmed else None)
    hanging = before.hanging_since
    return replace(row, told_at=before.told_at, alarmed=before.alarmed, failing_since=since, hanging_since=hanging)


def notice(job: Job, before: JobRow | None, row: JobRow, news: News) -> Notice:
    """What is said."""
    since = row.failing_since if news is News.FAILS else (before.failing_since if before else None)
    began = f"{since or row.started_at:%Y-%m-%d %H:%M} UTC"
    what = f"{job.title[0].lower()}{job.title[1:]}"
    if before is not None and news is News.ENDED:
        summary = _ending(what, before, row)
    elif news is News.FAILS:
        times = f"{row.in_a_row:,} times in a row" if row.in_a_row > 1 else "once so far"
        summary = f"What it does ({what}) has not been done since {began}, {times}: {row.result}"
    else:
        summary = f"What it does ({what}) is done again; it had failed since {began}."
    return Notice(
        title=f"The regular job {job.name} {news}",
        status=NoticeStatus.MESSAGE,
        severity="info" if row.ok else "high",
        at=row.started_at + timedelta(milliseconds=row.duration_ms),
        reason="job",
        summary=summary,
    )


def _ending(what: str, before: JobRow, row: JobRow) -> str:
    """That what hung has ended, or that another run has, and whether that is well."""
    began = f"{before.hanging_since:%Y-%m-%d %H:%M} UTC"
    if row.started_at == before.hanging_since:
        ended = row.started_at + timedelta(milliseconds=row.duration_ms)
        over = f"What it does ({what}) was begun at {began} and has ended at {ended:%Y-%m-%d %H:%M} UTC"
    else:
        over = f"What it does ({what}) was begun at {began}, with no known end, and has been done anew since"
    went = f"it went well: {row.result}" if row.ok else f"it failed: {row.result}"
    again = f" It had failed since {before.failing_since:%Y-%m-%d %H:%M} UTC." if row.ok and before.alarmed else ""
    return f"{over}; {went}.{again}"


def without_secrets(text: str) -> str:
    """An error's text, of whose addresses only the hosts are left."""
    return _ADDRESS.sub(r"\1\2/…", text)
