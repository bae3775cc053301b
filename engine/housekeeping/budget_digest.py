"""What of budgets' thresholds a channel takes no more of is told there in one notice, as soon as it does again."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from msgspec import structs

from data.errors import ConflictError
from data.queries import held
from data.queries import notifications as rows
from data.queries.notifications import NotificationRow
from data.store import Store
from engine import notice, outbox
from engine.audit import new_id
from engine.bundle import LISTED
from engine.notice import Notice, NoticeStatus
from engine.notify import Reason
from engine.room import Room
from engine.rule import Severity

#: The reason of every notice about budgets.
BUDGET = "budget"


def kept(row: NotificationRow) -> NotificationRow:
    """The row, kept silent until a digest tells of it."""
    said = structs.replace(notice.decode(row.notice), reason=Reason.RATE_LIMITED.value)
    return replace(
        row,
        status=rows.SILENT,
        reason=said.reason,
        held=row.reason,
        notice=notice.encode(said),
        finished_at=row.created_at,
    )


def tell_kept(store: Store, at: datetime) -> tuple[int, set[str]]:
    """Tell each channel that takes a notice again what was kept from it; raises the store's errors.

    How many notices that are, and the channels that something is still kept from.
    """
    waiting: dict[str, list[NotificationRow]] = defaultdict(list)
    for row in held.unbound(store, held=BUDGET):
        waiting[row.channel].append(row)
    told = [channel for channel, parts in sorted(waiting.items()) if _told(store, channel, parts, at)]
    return len(told), waiting.keys() - set(told)


def _told(store: Store, channel: str, parts: Sequence[NotificationRow], at: datetime) -> bool:
    room = Room(store, at)
    if not room.take(channel):
        return False
    row = outbox.queued(new_id(), composed([notice.decode(part.notice) for part in parts], at), channel=channel, at=at)
    marks = [{"id": part.id, "bundle": row.id, "held": part.held, "at": at} for part in parts]
    try:
        store.transact([rows.adding(row), *held.telling(marks), *room.spending()])
    except ConflictError:
        return False  # another worker was faster, and the next look sees what is left
    return True


def composed(kept_back: Sequence[Notice], at: datetime) -> Notice:
    """One notice for several, the worst and newest first."""
    ranked = sorted(kept_back, key=lambda one: one.at, reverse=True)
    ranked.sort(key=lambda one: list(Severity).index(Severity(one.severity)))
    lines = [f"[{one.severity.upper()}] {one.title}: {one.summary}" for one in ranked[:LISTED]]
    count, more = len(ranked), len(ranked) - LISTED
    return Notice(
        title="1 notice about budgets held back" if count == 1 else f"{count} notices about budgets held back",
        status=NoticeStatus.MESSAGE,
        severity=ranked[0].severity,
        at=at,
        reason=BUDGET,
        summary=f"Held back: {count} by the rate limit.",
        message="\n".join([*lines, *([f"and {more} more"] if more > 0 else [])]),
    )
