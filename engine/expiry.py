"""Lets go of incidents whose acknowledgement has run out: nobody is on them any more, and they say so."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from data.errors import ConflictError
from data.queries import acknowledgements, alerts, comments
from data.store import Statement, Store
from engine import follow_up
from engine.audit import entry, new_id

#: Who it is done by: no person.
WORKER = "worker"
#: What it is called, in the audit log and in an incident's thread.
UNACKNOWLEDGE = "unacknowledge"
_log = logging.getLogger(__name__)


def release(store: Store, at: datetime, *, fence: Sequence[Statement] = ()) -> int:
    """Mark them as firing, and tell the channels that keep a record of their own; how many notices that are.

    Where somebody acts on one of them at the same time, all are left to the next look.
    """
    ended = list(acknowledgements.run_out(store, at).iter_rows(named=True))
    if not ended:
        return 0
    told = follow_up.ran_out(store, [row["id"] for row in ended], at=at)
    try:
        store.transact([*fence, *(part for row in ended for part in _releasing(row, at)), *told])
    except ConflictError:
        _log.info("incidents whose acknowledgement ran out are let go at the next look: one was changed meanwhile")
        return 0
    return len(told)


def _releasing(row: Mapping[str, Any], at: datetime) -> list[Statement]:
    words = f"The acknowledgement by {row['acknowledged_by'] or 'somebody'} ran out."
    detail = {"reason": words, "until": row["acknowledged_until"]}
    return [
        alerts.touching(row["id"], row["version"]),
        alerts.releasing(row["id"]),
        comments.adding(new_id(), alert_id=row["id"], at=at, author=WORKER, action=UNACKNOWLEDGE, text=words),
        entry(WORKER, UNACKNOWLEDGE, "alert", row["id"], at=at, detail=detail),
    ]
