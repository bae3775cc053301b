"""The worker watches itself: missed and failed evaluations are told in the app."""

import asyncio
from datetime import datetime, timedelta

from data.queries import inbox
from engine.audit import new_id
from engine.desk import Desk
from engine.housekeeping.heartbeat import Misses, trouble
from engine.housekeeping.job import Job
from engine.inbox import message, shown
from engine.notice import Notice, NoticeStatus

_EVERY = timedelta(seconds=15)
#: The same trouble is told again after so long.
_AGAIN = timedelta(hours=1)


class Watch:
    """What was wrong when somebody last looked, and when which kind of trouble was last told."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._misses = Misses(desk.status)
        self._told_at: dict[str, datetime] = {}

    def job(self) -> Job:
        """The job."""
        return Job("watch", "Tell of evaluations that were missed or failed", _EVERY, self._run)

    async def _run(self, at: datetime) -> str:
        kinds = {"missed": self._misses.since(), "failing": trouble(self._desk, at)}
        wrong = {kind: why for kind, why in kinds.items() if why}
        if not wrong:
            return "all is well"
        why = "; ".join(wrong.values())
        # a clean look between two troubles does not make the second one news: one missed a minute is told once an hour
        if any(kind not in self._told_at or at - self._told_at[kind] >= _AGAIN for kind in wrong):
            await self._tell(why, at)
            self._told_at.update(dict.fromkeys(wrong, at))
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
