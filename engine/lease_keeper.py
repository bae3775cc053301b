"""Keeps a worker's lease, in a thread of its own: however long an evaluation takes, and whatever it holds up.

It prolongs the lease at a third of its time, and tells the worker when it was lost. It does not keep it for work that
stands still: then the lease is on offer for as long as it lasts, in which another worker that stands by takes it. Where
none does, this one goes on with what still moves: rules evaluated in part are better than none. A tick is not meant by
that however long it takes, as long as the store answers it now and then: the next worker would find it as long, and so
the two would hand the lease to and fro, and neither would finish.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum

from data.errors import StoreError
from engine.lease import Lease
from engine.progress import Progress, Still, watched_on

#: Work that gets no answer from the store for this long stands still. Each call ends within 70 s, with an answer or an
#: error that ends the tick, and what is computed in between takes seconds.
STUCK_AFTER = timedelta(minutes=5)
_log = logging.getLogger(__name__)


class News(StrEnum):
    """What became of the lease."""

    LOST = "another worker has taken it"
    OFFERED = "given back, for the work stands still"
    TAKEN_BACK = "nobody else has taken it"


class LeaseKeeper:
    """The thread; `tell` is called in it."""

    def __init__(
        self,
        lease: Lease,
        progress: Progress,
        tell: Callable[[News], None],
        *,
        stuck_after: timedelta = STUCK_AFTER,
    ) -> None:
        self._lease, self._progress, self._tell = lease, progress, tell
        self._stuck_s, self._lasts_s = stuck_after.total_seconds(), lease.lasts.total_seconds()
        self._still: dict[str, Still] = {}
        self._offered = self._failing = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease keeper", daemon=True)

    def start(self) -> None:
        """Begin; the lease may be taken before or after."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait until the lease is no longer touched."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        begun, pause = time.monotonic(), self._lasts_s / 3
        while not self._stopping.wait(pause):
            before, begun = begun, time.monotonic()
            # it lasts from when it was asked for: an answer that came late leaves less time to the next
            pause = self._lasts_s / 3 if self._cared_for(begun - before) else self._lasts_s / 9
            pause = max(0.0, begun + pause - time.monotonic())

    def _cared_for(self, seconds: float) -> bool:
        """Do what there is to do, `seconds` after the last time; whether it could be done."""
        try:
            self._care(seconds)
        except StoreError as error:
            if not self._failing:
                _log.warning("the lease is not prolonged while the store does not answer: %s", error)
            self._failing = True
        except Exception:  # noqa: BLE001 - without a keeper the lease would run out under a long tick
            _log.exception("the lease could not be looked after")
            self._failing = True
        else:
            self._failing = False
        return not self._failing

    def _care(self, seconds: float) -> None:
        if self._offered:
            self._take_back()
        elif not self._lease.token:
            self._still = {}
        elif stuck := self._stuck(seconds):
            self._offer(stuck)
        elif not self._lease.prolong():
            self._tell(News.LOST)

    def _stuck(self, seconds: float) -> str:
        """The piece of work that stands still, if there is one."""
        # more than the lease's own time was spent asleep: this process was stopped, and its work with it
        self._still = watched_on(self._still, self._progress.marks(), min(seconds, self._lasts_s))
        return next((work for work, still in self._still.items() if still.seconds >= self._stuck_s), "")

    def _offer(self, stuck: str) -> None:
        _log.error(
            "%s stands still for %g s: the lease is given back, for another worker to evaluate", stuck, self._stuck_s
        )
        self._still, self._offered = {}, True
        try:
            self._lease.offer()
        finally:
            self._tell(News.OFFERED)

    def _take_back(self) -> None:
        if self._lease.on_offer:
            return
        held = self._lease.take()
        self._offered = False
        if held:
            _log.warning("no other worker has taken the lease; this one goes on with what does not stand still")
        self._tell(News.TAKEN_BACK if held else News.LOST)
