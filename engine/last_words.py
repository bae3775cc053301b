"""The end of an incident, told to those who were told of it in place of a channel that failed.

Mostly the channel's own end brings it, once that has arrived or failed (`engine.aftermath`). What none brings is told
here: the end went into a digest, was no news to the channel, or the channel is gone.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from msgspec import structs

from data.errors import ConflictError
from data.queries import channels as channel_rows
from data.queries import notifications as rows
from data.queries import stand_ins
from data.queries.notifications import NotificationRow
from data.store import Statement, Store
from engine import notice, outbox
from engine.audit import new_id
from engine.channel_store import IN_APP_NAME
from engine.digest import over
from engine.notice import Notice, NoticeStatus
from engine.notify import Reason
from engine.room import Room

#: Of incidents that ended longer ago nobody is told any more.
LOOKS_BACK = timedelta(days=7)
_log = logging.getLogger(__name__)


def tell(store: Store, at: datetime, *, fence: Sequence[Statement] = ()) -> int:
    """Tell those who stood in and would never hear of the end; how many notices that are."""
    ended = stand_ins.ended(store, since=at - LOOKS_BACK)
    if not ended:
        return 0
    there = {IN_APP_NAME, *(channel.name for channel in channel_rows.every(store))}
    left = [row for row in rows.stood_in(store, ended, until=NoticeStatus.RESOLVED.value) if row.channel in there]
    room = Room(store, at)
    told = {(row.alert_id, row.channel): row for row in left}.values()
    statements = [closing(row, row, _over(row, ended[row.alert_id]), room) for row in told]
    if not statements:
        return 0
    try:
        store.transact([*fence, *statements, *room.spending()])
    except ConflictError:
        _log.info("whoever stood in is told of the end by another worker")
        return 0
    return len(statements)


def _over(row: NotificationRow, resolved_at: datetime) -> Notice:
    said = over(notice.alone(notice.decode(row.notice)), resolved_at)
    return structs.replace(said, reason=Reason.RESOLVED.value, at=resolved_at)


def closings(stood_in: Iterable[NotificationRow], row: NotificationRow, said: Notice, room: Room) -> list[Statement]:
    """The end, for every channel but the row's own; each is told once, however many channels it stood in for."""
    told = {each.channel: each for each in stood_in if each.channel != row.channel}
    return [closing(each, row, said, room) for each in told.values()]


def closing(stood_in: NotificationRow, row: NotificationRow, said: Notice, room: Room) -> Statement:
    """The end for one channel, unless it was told that already; over its limit it is held back for a digest."""
    channel, key = stood_in.channel, stood_in.group_key
    queued = outbox.queued(new_id(), said, channel=channel, at=room.at, group_key=key, fallback_of=row.id)
    end = queued if room.take(channel) else replace(held_back(queued, row, said), group_key=key)
    return rows.adding_once(end, status=NoticeStatus.RESOLVED.value)


def held_back(queued: NotificationRow, single: NotificationRow, about: Notice) -> NotificationRow:
    """One incident's part of a notice, kept silent until a digest tells of it; `held` is what it would have been."""
    said = structs.replace(about, reason=Reason.RATE_LIMITED.value)
    return replace(
        queued,
        id=new_id(),
        alert_id=single.alert_id,
        rule_id=single.rule_id,
        group_key=single.group_key,
        fallback_of=single.id,
        reason=said.reason,
        held=queued.reason,
        status=rows.SILENT,
        notice=notice.encode(said),
        finished_at=queued.created_at,
    )
