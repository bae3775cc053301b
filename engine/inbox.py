"""Messages inside the app: stored as rows, and pushed to whoever listens right now."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any

from data.queries import inbox
from data.queries.inbox import InboxRow
from data.store import Store
from engine.channels.channel import Receipt
from engine.channels.http import HttpSender
from engine.notice import Notice

#: A listener that does not read is dropped messages beyond this; it finds them in the inbox.
_QUEUED = 100
#: So many messages are known to have been told; those that the store is looked at for are the newest.
_REMEMBERED = 10_000


class Hub:
    """Hands each message to every open listener. For the event loop's thread only."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[dict[str, Any]]] = set()
        self._told: dict[str, None] = {}
        self._read_at: datetime | None = None

    @contextmanager
    def listening(self) -> Iterator[asyncio.Queue[dict[str, Any]]]:
        """A queue of what is published while the context is open."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_QUEUED)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    def publish(self, message: dict[str, Any]) -> None:
        """Tell every listener; one that is full misses it."""
        for queue in self._listeners:
            with suppress(asyncio.QueueFull):
                queue.put_nowait(message)

    def is_news(self, message_id: str) -> bool:
        """Whether nobody was told of this message yet; asked once, it is told."""
        if message_id in self._told:
            return False
        self._told[message_id] = None
        if len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]
        return True

    def heard_read(self, at: datetime | None) -> bool:
        """Note when a message was last read; whether that is later than what was known."""
        if at is None or (self._read_at is not None and at <= self._read_at):
            return False
        self._read_at = at
        return True


def message(message_id: str, notice: Notice) -> InboxRow:
    """How a notice stands in the inbox."""
    body = "\n".join(part for part in (notice.summary, notice.message) if part)
    return InboxRow(
        id=message_id,
        at=notice.at,
        title=notice.headline,
        body=body,
        severity=notice.severity,
        status=notice.status.value,
        alert_id=notice.alert_id,
        rule_id=notice.rule_id,
    )


def shown(hub: Hub, row: InboxRow) -> None:
    """Tell whoever listens of a new message, once: it is heard of from who wrote it, and seen in the store."""
    if hub.is_news(row.id):
        hub.publish({"type": "message", **asdict(row)})


class Wires:
    """What channels send with: HTTP for those outside, the inbox for the app's own."""

    def __init__(self, store: Store, http: HttpSender, hub: Hub) -> None:
        self._store = store
        self._http = http
        self._hub = hub

    async def post(self, url: str, *, body: bytes, headers: dict[str, str], allow_private: bool) -> Receipt:
        """See HttpSender.post."""
        return await self._http.post(url, body=body, headers=headers, allow_private=allow_private)

    async def show(self, message_id: str, notice: Notice) -> None:
        """Store the message once and push it to whoever listens."""
        row = message(message_id, notice)
        (new,) = await asyncio.to_thread(self._store.transact, [inbox.posting(row)])
        if new:
            shown(self._hub, row)
