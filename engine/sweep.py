"""Looks after what waits for a time, apart from any rule's evaluation: a rule may be looked at once a day, or be gone.

That is what was held back, incidents whose acknowledgement has an end, and what others than a rule's own channels have
to be told of an end or an acknowledgement.
"""

import logging
from collections.abc import Sequence
from datetime import datetime

from data.errors import ConflictError
from data.queries import held as held_rows
from data.queries import notifications, rates
from data.store import Statement, Store
from engine import follow_up, last_words
from engine.digest import Held, telling
from engine.expiry import release
from engine.notify import Reason
from engine.post import terms

_log = logging.getLogger(__name__)


def sweep(store: Store, at: datetime, *, fence: Sequence[Statement] = (), public_url: str = "") -> int:
    """Let go of incidents whose acknowledgement has run out, and tell what can be told by now of what was held back.

    Then whoever stood in is told of ends, and channels that follow of acknowledgements, that they would not hear of.
    Returns how many notices went into the outbox.
    """
    released, told = release(store, at, fence=fence), _tell_held(store, at, fence, public_url)
    return released + told + last_words.tell(store, at, fence=fence) + follow_up.catch_up(store, at, fence=fence)


def _tell_held(store: Store, at: datetime, fence: Sequence[Statement], public_url: str) -> int:
    """Put into the outbox what can be told by now; how many notices that are.

    All of it is written together or not at all; what another worker told meanwhile is left to the next look.
    """
    found = held_rows.held(store, at, limited=Reason.RATE_LIMITED.value)
    if found.is_empty():
        return 0
    made = telling([Held(**row) for row in found.iter_rows(named=True)], terms(store, at), at, public_url)
    statements = [
        *map(notifications.adding, made.rows),
        *held_rows.telling(made.told),
        *held_rows.dropping(made.stale),
        *rates.spending(made.spent),
    ]
    try:
        store.transact([*fence, *statements])
    except ConflictError:
        _log.info("what was held back is told by another worker")
        return 0
    return len(made.rows)
