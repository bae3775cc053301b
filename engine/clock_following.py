"""The rows that follow a clock which was set back: what lies ahead of it would wait until it has caught up."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from data.queries import clock_set_back
from data.store import Store
from engine.cadences import instant
from engine.lease import Lease


class ClockFollower:
    """Lets what evaluations left behind follow the clock, as whoever holds the lease. Thread-safe."""

    def __init__(self, lease: Lease, name: str, now: Callable[[], datetime]) -> None:
        """`name`: the lease's in the store."""
        self._lease, self._name, self._now = lease, name, now
        #: how far the clock was set back, which the rows do not follow yet; at the start that is not known
        self._by: timedelta | None = timedelta(0)
        self._guard = threading.Lock()

    def set_back(self, by: timedelta) -> None:
        """It was set back by so much."""
        with self._guard:
            self._by = (self._by or timedelta(0)) + by

    def follow(self, store: Store, *, leads: bool, anew: bool) -> None:
        """Do what is left to do; `anew`: the lease was taken since, and what was before that is not known.

        Whoever does not lead only sees to it that the lease of one who has died is missed. Raises StoreError.
        """
        known, now = self._by, self._now()
        if known is None and not (leads and anew):
            return
        statements = [clock_set_back.shortening(self._name, until=now + self._lease.lasts)]
        if leads:
            fence = self._lease.fence(self._lease.token)
            statements = [*fence, *statements, *clock_set_back.evaluations(instant(now), known or timedelta(0))]
        store.transact(statements)
        with self._guard:
            self._by = None if self._by == known else self._by
