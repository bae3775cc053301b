"""Tells the channels that keep a record of their own that an incident was taken on, or let go again."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from msgspec import structs

from data.errors import ConflictError
from data.queries import acknowledgements
from data.queries import channels as channel_rows
from data.queries import notifications as rows
from data.store import Statement, Store
from engine import notice, outbox
from engine.audit import new_id
from engine.channels import CHANNELS
from engine.notice import ACKNOWLEDGEMENT, UNACKNOWLEDGED, Notice, NoticeStatus

_log = logging.getLogger(__name__)


def taken_on(
    store: Store, alert_ids: Sequence[str], *, by: str, comment: str, at: datetime, besides: str = ""
) -> list[Statement]:
    """Rows of the outbox for every channel that was told of these incidents and follows; `besides` knows already."""
    return _queued(store, alert_ids, _taken_on(by, comment, at), besides)


def let_go(store: Store, alert_ids: Sequence[str], *, by: str, at: datetime, besides: str = "") -> list[Statement]:
    """The same when nobody is on them any more."""
    words = f"Let go again by {by}: nobody has taken it on."
    changes = {"status": NoticeStatus.FIRING, "reason": UNACKNOWLEDGED, "summary": words, "at": at}
    return _queued(store, alert_ids, changes, besides)


def ran_out(store: Store, alert_ids: Sequence[str], *, at: datetime) -> list[Statement]:
    """The same when whoever took them on had said until when, and that is over."""
    words = "The acknowledgement ran out: nobody is on it any more."
    changes = {"status": NoticeStatus.FIRING, "reason": UNACKNOWLEDGED, "summary": words, "at": at}
    return _queued(store, alert_ids, changes, "")


def catch_up(store: Store, at: datetime, *, fence: Sequence[Statement] = ()) -> int:
    """Tell channels that follow of what was taken on before they were told of it; how many notices that are.

    So it is where a digest tells of it, a fallback, or a first notice after a silence.
    """
    following = _following(store)
    late = acknowledgements.untold(store, sorted(following), at).to_dicts() if following else []
    newest = {(row["alert_id"], row["channel"]): row for row in late}.values()
    spoken = [(row, notice.decode(row["notice"])) for row in newest]
    made = [
        _row(
            structs.replace(said, **_taken_on(row["acknowledged_by"], row["comment"], at)),
            row["channel"],
            row["group_key"],
            at,
        )
        for row, said in spoken
        if said.status is NoticeStatus.FIRING
    ]
    if not made:
        return 0
    try:
        store.transact([*fence, *map(rows.adding, made)])
    except ConflictError:
        _log.info("channels that follow are told by another worker who has taken an incident on")
        return 0
    return len(made)


def _taken_on(by: str, comment: str, at: datetime) -> dict[str, Any]:
    words = f"Acknowledged by {by}: {comment}" if comment else f"Acknowledged by {by}."
    return {"status": NoticeStatus.ACKNOWLEDGED, "reason": ACKNOWLEDGEMENT, "summary": words, "at": at}


def _queued(store: Store, alert_ids: Sequence[str], changes: dict[str, Any], besides: str) -> list[Statement]:
    following = _following(store) - {besides}
    if not following:
        return []
    told = rows.last_told(store, list(alert_ids), sorted(following))
    spoken = [(row, notice.decode(row.notice)) for row in told]
    return [
        rows.adding(_row(structs.replace(said, **changes), row.channel, row.group_key, changes["at"]))
        for row, said in spoken
        if said.status is not NoticeStatus.RESOLVED
    ]


def _row(said: Notice, channel: str, group_key: str, at: datetime) -> rows.NotificationRow:
    return outbox.queued(new_id(), said, channel=channel, at=at, group_key=group_key)


def _following(store: Store) -> set[str]:
    return {channel.name for channel in channel_rows.every(store) if channel.enabled and _follows(channel)}


def _follows(channel: channel_rows.ChannelRow) -> bool:
    kind = CHANNELS.get(channel.kind)
    return kind is not None and kind.follows(orjson.loads(channel.config))
