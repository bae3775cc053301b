"""Sends a failed notification once more, by hand, under the id that it always had."""

import asyncio
from dataclasses import replace

import orjson

from data.queries import alerts
from data.queries import notifications as rows
from data.queries.alerts import OPEN
from data.queries.notifications import NotificationRow
from data.store import Store
from engine import channel_store, notice
from engine.audit import clock, entry
from engine.channels import CHANNELS
from engine.channels.http import HttpSender
from engine.delivery import attempt_now
from engine.errors import NotFound, Refused, StaleVersion
from engine.inbox import Hub, Wires
from engine.notice import NoticeStatus
from engine.secrets import SecretBox
from engine.trial import Trial, outcome


async def replay(
    store: Store, box: SecretBox, hub: Hub, notification_id: str, *, by: str, public_url: str = ""
) -> Trial:
    """One more attempt, at once; where it fails, nothing stands in for it a second time.

    Raises NotFound, Refused for a notification that has not failed or that would open in its receiver what nothing
    closes any more, StaleVersion when another attempt was faster.
    """
    row = await asyncio.to_thread(rows.by_id, store, notification_id)
    if row is None:
        raise NotFound(f"there is no notification {notification_id!r}")
    if row.status != rows.FAILED:
        raise Refused(f"only a failed notification can be sent again; this one is {row.status}")
    await asyncio.to_thread(_check_ends, store, row)
    now = clock()
    line = entry(by, "replay", "notification", row.id, at=now, detail={"channel": row.channel})
    again = replace(row, status=rows.PENDING, fallback="[]")
    async with HttpSender() as http:
        wires = Wires(store, http, hub)
        queue = [rows.reviving(row, at=now), line]
        attempt = await attempt_now(store, box, wires, again, queue=queue, final=True, public_url=public_url)
    if attempt is None:
        raise StaleVersion("another attempt was faster, or the store is away; read the notification again")
    return outcome(row.id, row.channel, attempt)


def _check_ends(store: Store, row: NotificationRow) -> None:
    """What a receiver keeps of an incident is closed by the incident's end alone, and that has been told."""
    if not row.alert_id or notice.decode(row.notice).status is NoticeStatus.RESOLVED:
        return
    channel = channel_store.by_name(store, row.channel)
    kind = CHANNELS.get(channel.kind) if channel else None
    if not channel or not kind or not kind.needs_each_end(orjson.loads(channel.config)):
        return
    if not any(one["status"] in OPEN for one in alerts.by_ids(store, [row.alert_id]).iter_rows(named=True)):
        raise Refused(f"the incident is over: sent now, it would stand open in {row.channel!r}, and nothing closes it")
