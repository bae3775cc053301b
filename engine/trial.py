"""Trying a channel: a real send, marked as a test, that leaves the same trail as any other."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from data.queries import notifications as rows
from data.queries.notifications import AttemptRow
from data.store import Store
from engine import channel_store, episode, outbox, tick
from engine.audit import clock, entry, new_id
from engine.cadences import instant
from engine.channels.http import HttpSender
from engine.delivery import attempt_now
from engine.episode import Watched
from engine.inbox import Hub, Wires
from engine.notice import Notice
from engine.secrets import SecretBox


@dataclass(frozen=True, slots=True)
class Trial:
    """What a test send came to: whether it arrived, and the receiver's own words."""

    notification_id: str
    channel: str
    delivered: bool
    status: int | None
    answer: str
    error: str
    provider_id: str
    duration_ms: float


def of_rule(store: Store, watched: Watched, at: datetime, public_url: str = "") -> Notice:
    """The rule's real message with what it measures now, marked as a test."""
    groups = tick.look(store, watched.rule, instant(at), watched.id)
    return episode.sample(watched, groups[0] if groups else None, at, public_url)


async def send(store: Store, box: SecretBox, hub: Hub, channel_id: str, notice: Notice, *, by: str) -> Trial:
    """Send one test through a channel, once and without retries; raises NotFound for an unknown channel.

    The audit log says who did, about which rule, whatever comes of it.
    """
    channel = await asyncio.to_thread(channel_store.get, store, channel_id)
    now = clock()
    row = outbox.queued(new_id(), notice, channel=channel.name, at=now)
    detail = {"name": channel.name, "rule_id": notice.rule_id, "notification_id": row.id}
    queue = [rows.adding(row), entry(by, "test", "channel", channel.id, at=now, detail=detail)]
    async with HttpSender() as http:
        attempt = await attempt_now(store, box, Wires(store, http, hub), row, queue=queue, final=True)
    return outcome(row.id, channel.name, attempt)


def outcome(notification_id: str, channel: str, attempt: AttemptRow | None) -> Trial:
    """What an attempt came to; None: there was none."""
    if attempt is None:
        return Trial(notification_id, channel, False, None, "", "the store was away, nothing was sent", "", 0.0)
    return Trial(
        notification_id=notification_id,
        channel=channel,
        delivered=not attempt.error,
        status=attempt.status,
        answer=attempt.answer,
        error=attempt.error,
        provider_id=attempt.provider_id,
        duration_ms=attempt.duration_ms or 0.0,
    )
