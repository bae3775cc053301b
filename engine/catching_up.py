"""Whether the ledger is complete again after the store was away: until it is, nothing is decided on it.

While the store is away the gateways' records wait in their spools. Once it is back they arrive within seconds, but not
at once, and a rule that looks at the ledger before sees traffic that was never so low.
"""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from data.queries.arrivals import arrivals
from data.store import Store

#: A gateway that has sent nothing for so long after the store's return has nothing to send, or is gone.
SILENT_S = 15.0
#: One that sends what is older than this is behind, unless it has sent nothing more for so long.
LATE_S, QUIET_S = 2.0, 5.0
#: It is waited for no longer than this, however much is behind.
MOST_S = 120.0
#: Waited for are those that sent something within so long before the store went away.
RECENT_S = 300.0
#: What had ended so long ago when it came was imported, and is not waited for.
IMPORTED_S = 86_400.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A spool's last batch: how long ago it came, and how long before that the last request in it had ended."""

    spool_id: str
    age_s: float
    lag_s: float


def expected(found: Sequence[Arrival], back_s: float) -> frozenset[str]:
    """The spools to wait for, of those found `back_s` seconds after the store's return."""
    before = [one.age_s for one in found if one.age_s > back_s]
    recent = min(before, default=0.0) + RECENT_S
    return frozenset(one.spool_id for one in found if one.age_s <= recent and one.lag_s < IMPORTED_S)


def behind(found: Sequence[Arrival], among: Collection[str], back_s: float) -> frozenset[str]:
    """Those of the expected spools that have still to send what waited for the store."""
    if back_s >= MOST_S:
        return frozenset()
    return frozenset(one.spool_id for one in found if one.spool_id in among and _is_behind(one, back_s))


def _is_behind(one: Arrival, back_s: float) -> bool:
    if one.age_s > back_s:
        return back_s < SILENT_S
    return LATE_S < one.lag_s < IMPORTED_S and one.age_s < QUIET_S


class CatchingUp:
    """Follows one store. `look` is for one thread at a time; `away` may be called by any, also meanwhile."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._away_at: float | None = None
        self._met = False
        self._expected: frozenset[str] | None = None
        self._behind: frozenset[str] = frozenset()

    def away(self) -> None:
        """The store does not answer: when it does again, what waited for it has still to arrive."""
        self._away_at, self._expected, self._behind = self._now_s(), None, frozenset()

    @property
    def why(self) -> str:
        """Why nothing may be decided on the ledger yet; '' where it was complete at the last look."""
        if self._away_at is None:
            return ""
        many = len(self._behind)
        who = "1 gateway still sends" if many == 1 else f"{many or 'the'} gateways still send"
        return f"waiting for the ledger: {who} what waited for the store"

    def look(self, store: Store) -> None:
        """Learn what has arrived, unless nothing is awaited. Raises StoreError."""
        if not self._met:
            # it may have come back just before this worker came
            self._away_at, self._met = self._now_s() - store.ping().uptime_s, True
        away_at = self._away_at
        if away_at is None:
            return
        back_s = self._now_s() - away_at
        found = [Arrival(*row) for row in arrivals(store).fill_null(0.0).iter_rows()]
        among = expected(found, back_s) if self._expected is None else self._expected
        late = behind(found, among, back_s)
        if self._away_at != away_at:
            return  # it was away meanwhile
        if late and self._expected is None:
            _log.warning(
                "nothing is evaluated until what waited for the store has arrived, from %d gateways", len(late)
            )
        elif self._behind and not late:
            _log.info("what waited for the store has arrived")
        self._expected, self._behind = among, late
        self._away_at = away_at if late else None
