"""The worker watches itself: missed and failed evaluations are told in the app."""

import asyncio
from datetime import datetime, timedelta

from data.queries import inbox
from engine.audit import new_id
from engine.desk import Desk
from engine.housekeeping.heartbeat import trouble
from engine.housekeeping.job import Job
from engine.inbox import message, shown
from engine.notice import Notice, NoticeStatus

_EVERY = timedelta(seconds=15)
#: The same trouble is told again after so long.
_AGAIN = timedelta(hours=1)


class Watch:
    """What was wrong when somebody last looked."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._missed = desk.status.missed_ticks
        self._told_at: datetime | None = None

    def job(self) -> Job:
        """The job."""
        return Job("watch", "Tell of evaluations that were missed or failed", _EVERY, self._run)

    async def _run(self, at: datetime) -> str:
        missed, self._missed = self._desk.status.missed_ticks - self._missed, self._desk.status.missed_ticks
        why = trouble(self._desk, at)
        if missed:
            last = f"the last one took {self._desk.status.last_tick_ms:,.0f} ms"
            why = f"{missed} evaluation{'s' if missed > 1 else ''} did not happen in time; {last}" + (
                f"; {why}" if why else ""
            )
        if not why:
            self._told_at = None
            return "all is well"
        if self._told_at is None or at - self._told_at >= _AGAIN:
            await self._tell(why, at)
            self._told_at = at
        return why

    async def _tell(self, why: str, at: datetime) -> None:
        notice = Notice(
            title="Rules are not evaluated as they should be",
            status=NoticeStatus.MESSAGE,
            severity="high",
            at=at,
            reason="watch",
            summary=f"{why[0].upper()}{why[1:]}.",
        )
        row = message(new_id(), notice)
        await asyncio.to_thread(self._desk.store.transact, [inbox.posting(row)])
        shown(self._desk.hub, row)
