"""The worker watches itself: missed and failed evaluations are told in the app."""

import asyncio
from datetime import datetime, timedelta

from data.errors import StoreError
from data.queries import inbox
from engine.audit import new_id
from engine.desk import Desk
from engine.housekeeping.heartbeat import Failures, Misses, trouble
from engine.housekeeping.job import Job
from engine.inbox import message, shown
from engine.notice import Notice, NoticeStatus

_EVERY = timedelta(seconds=15)
#: The same trouble is told again after so long.
_AGAIN = timedelta(hours=1)


class Watch:
    """What was wrong when somebody last looked, and when which kind of trouble was last told.

    What cannot be told, as while the store is away, is told as soon as it can be, also where it is over by then.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._misses, self._failures = Misses(desk.status), Failures(desk.status)
        self._told_at: dict[str, datetime] = {}
        #: since when there was which trouble that nobody could be told of
        self._untold: tuple[datetime, str] | None = None

    def job(self) -> Job:
        """The job."""
        return Job("watch", "Tell of evaluations that were missed or failed", _EVERY, self._run)

    async def _run(self, at: datetime) -> str:
        failed = self._failures.since()
        kinds = {"missed": self._misses.since(), "failing": self._failing(trouble(self._desk, at) or failed)}
        wrong = {kind: why for kind, why in kinds.items() if why}
        if not wrong:
            return "all is well"
        why = "; ".join(wrong.values())
        # a clean look between two troubles does not make the second one news: one missed a minute is told once an hour
        if any(kind not in self._told_at or at - self._told_at[kind] >= _AGAIN for kind in wrong):
            try:
                await self._tell(why, at)
            except StoreError:
                self._misses.untold()
                if kinds["failing"] and self._untold is None:
                    self._untold = at, kinds["failing"]
                raise
            self._untold = None
            self._told_at.update(dict.fromkeys(wrong, at))
        return why

    def _failing(self, now: str) -> str:
        """What fails now, and what did before that nobody could be told of."""
        if self._untold is None or self._untold[1] == now:
            return now
        began, before = self._untold
        past = f"nobody could be told from {began:%Y-%m-%d %H:%M} UTC until now: {before}"
        return f"{past}; {now}" if now else past

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
