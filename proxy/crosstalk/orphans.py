"""Conversations whose proxy has ended are marked as interrupted: by its next life, or by another proxy."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path

from data.crosstalk import Status
from data.queries import crosstalk as rows
from data.queries.crosstalk import CrosstalkStore
from proxy.crosstalk.owner import abandoned

PROXY_ENDED = "proxy_ended"


def end_orphans(store: CrosstalkStore, spools: Path, own: str, live: Callable[[], Collection[str]]) -> list[str]:
    """Mark what nobody runs any more; return the ids. `live()`: those that run here. Raises StoreError, OSError.

    Those of a proxy that runs, or that is of another home, are left alone. The order matters: what is read as running
    before its proxy is seen not to run is of that proxy's past.
    """
    found = rows.running(store)
    here, others = live(), {owner for _, owner in found} - {own}
    gone = abandoned(spools, others) if others else set()
    orphans = [session for session, owner in found if owner in gone or (owner == own and session not in here)]
    if orphans:
        store.transact([rows.ending(orphans, Status.INTERRUPTED, PROXY_ENDED, datetime.now(UTC))])
    return orphans
