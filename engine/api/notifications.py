"""/api/notifications/{history,inbox} and the WebSocket of the inbox."""

import asyncio
from typing import Annotated, Any

import orjson
from aiohttp import WSMsgType, web
from pydantic import BaseModel, ConfigDict, Field

from data.queries import inbox
from data.queries import notifications as queries
from data.store import Store
from engine import incidents
from engine.api import parameters
from engine.api.reading import a_page, actor, answer, listed, posted
from engine.api.routes import DESK, FOLLOWING, LISTING, SOCKETS, Route
from engine.replay import replay

HEARTBEAT_S = 20.0


class ReadBody(BaseModel):
    """Messages to mark as read; without `ids` all of them."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[str], Field(max_length=1000)] | None = None


async def history(request: web.Request) -> web.Response:
    """Notifications with their attempts, newest first; the silent ones too, with the reason of their silence."""
    store, query = request.app[DESK].store, request.query
    status, channel = listed(request, "status"), listed(request, "channel")
    about = {"alert_id": query.get("alert", ""), "rule_id": query.get("rule", "")}

    def rows(before: str, limit: int) -> list[dict[str, Any]]:
        found = queries.history(store, before=before, limit=limit, status=status, channel=channel, **about)
        return incidents.with_attempts(store, found)

    return answer(await a_page(request, rows))


async def again(request: web.Request) -> web.Response:
    """Send a failed notification once more and show what the receiver answered."""
    desk, wanted = request.app[DESK], request.match_info["id"]
    done = await replay(desk.store, desk.box, desk.hub, wanted, by=actor(request), public_url=desk.public_url)
    desk.outbox.set()
    return answer(done)


async def messages(request: web.Request) -> web.Response:
    """The app's messages, newest first, and how many are unread."""
    store, unread_only = request.app[DESK].store, request.query.get("unread", "") in {"1", "true"}

    def rows(before: str, limit: int) -> list[dict[str, Any]]:
        return inbox.messages(store, unread_only=unread_only, before=before, limit=limit).to_dicts()

    return answer({**await a_page(request, rows), "unread": await asyncio.to_thread(inbox.unread, store)})


async def read(request: web.Request) -> web.Response:
    """Mark messages as read."""
    desk, asked = request.app[DESK], await posted(request, ReadBody)
    await asyncio.to_thread(desk.store.transact, [inbox.reading(asked.ids)])
    newest = await asyncio.to_thread(inbox.newest, desk.store)
    unread = await asyncio.to_thread(inbox.unread, desk.store)
    if desk.hub.heard_read(newest.read_at):
        desk.hub.publish({"type": "unread", "unread": unread})
    return answer({"unread": unread})


async def socket(request: web.Request) -> web.WebSocketResponse:
    """First `{"type": "unread", "unread": n}`, then each message as it arrives, whichever worker wrote it."""
    store, tasks = request.app[DESK].store, request.app[SOCKETS]
    connection = web.WebSocketResponse(heartbeat=HEARTBEAT_S)
    await connection.prepare(request)
    async with request.app[FOLLOWING].listening(tasks) as queue:
        await connection.send_str(await _unread(store))
        telling = tasks.start(_tell(connection, queue), name="tell a listener")
        try:
            async for message in connection:
                if message.type is WSMsgType.ERROR:
                    break
        finally:
            telling.cancel()
    return connection


async def _unread(store: Store) -> str:
    return orjson.dumps({"type": "unread", "unread": await asyncio.to_thread(inbox.unread, store)}).decode()


async def _tell(connection: web.WebSocketResponse, queue: "asyncio.Queue[dict[str, object]]") -> None:
    while not connection.closed:
        message = await queue.get()
        await connection.send_str(orjson.dumps(message, option=orjson.OPT_UTC_Z).decode())


ROUTES = (
    Route(
        "GET",
        "/api/notifications/history",
        history,
        "Notifications and their attempts, newest first",
        query=(
            parameters.listed("status", "Of these states"),
            parameters.listed("channel", "Of these channels, by name"),
            parameters.Parameter("alert", "Of this incident, by id"),
            parameters.Parameter("rule", "Of this rule, by id"),
            "limit",
            "cursor",
        ),
        result=LISTING,
    ),
    Route(
        "GET",
        "/api/notifications/inbox",
        messages,
        "The app's messages",
        query=(parameters.chosen("unread", "Only unread ones", "0", "1", "true", "false"), "limit", "cursor"),
        result=LISTING,
    ),
    Route("POST", "/api/notifications/{id}/replay", again, "Send a failed notification once more, at once"),
    Route("POST", "/api/notifications/inbox/read", read, "Mark messages as read", ReadBody),
    Route(
        "GET",
        "/ws/notifications",
        socket,
        "Messages as they arrive, whoever wrote them, and how many are unread (WebSocket)",
        good=101,
    ),
)
