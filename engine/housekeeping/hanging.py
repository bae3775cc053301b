"""Whether people are told that a job hangs, and in which words."""

from datetime import datetime, timedelta
from typing import Final

from data.queries.jobs import JobRow
from engine.durations import spoken
from engine.housekeeping.job import Job
from engine.notice import Notice, NoticeStatus

#: That another run of the same job hangs is told after so long.
_AGAIN: Final = timedelta(hours=1)


def is_told(before: JobRow | None, since: datetime) -> bool:
    """Whether people have been told of this very run, and not of its end."""
    return before is not None and before.hanging_since == since


def is_due(before: JobRow | None, since: datetime, at: datetime) -> bool:
    """Whether they are to be told now of the run begun at `since`, one that hangs."""
    if before is None or before.hanging_told_at is None:
        return True
    # also where the clock was set back
    return not is_told(before, since) and not timedelta(0) <= at - before.hanging_told_at < _AGAIN


def notice(job: Job, since: datetime, at: datetime) -> Notice:
    """What is said."""
    what = f"{job.title[0].lower()}{job.title[1:]}"
    summary = (
        f"What it does ({what}) was begun at {since:%Y-%m-%d %H:%M} UTC and has not ended, for more than "
        f"{spoken(job.hangs_after)}. It is not begun again until it ends, or its program is started anew."
    )
    return Notice(
        title=f"The regular job {job.name} hangs",
        status=NoticeStatus.MESSAGE,
        severity="high",
        at=at,
        reason="job",
        summary=summary,
    )
