"""POST /api/notifications/channels/{id}/pagerduty: what people did in PagerDuty, signed by it."""

import asyncio
from typing import Any

from aiohttp import web

from data.queries import channels as channel_rows
from engine import channel_store, pagerduty_events
from engine.api.problems import BadRequest, problem
from engine.api.reading import answer, raw
from engine.api.routes import DESK, Route
from engine.audit import clock
from engine.channels.pagerduty import PAGERDUTY, PagerDutyConfig
from engine.desk import Desk
from engine.errors import NotFound

SIGNATURE = "X-PagerDuty-Signature"


async def told(request: web.Request) -> web.StreamResponse:
    """Obey an event; 202 with what became of it, 401 unless PagerDuty signed it with the channel's secret."""
    desk, body = request.app[DESK], await raw(request)
    channel, secrets = await asyncio.to_thread(_channel, desk, request.match_info["id"])
    if not pagerduty_events.is_signed(body, request.headers.get(SIGNATURE, ""), secrets):
        return problem(401, "Unauthorized", f"The {SIGNATURE} header is not of this channel's webhook_secret.")
    try:
        became = await asyncio.to_thread(
            pagerduty_events.obey, desk.store, channel, body, at=clock(), public_url=desk.public_url
        )
    except ValueError as error:
        raise BadRequest(str(error)) from error
    desk.outbox.set()
    return answer({"result": became.value}, 202)


def _channel(desk: Desk, channel_id: str) -> tuple[channel_rows.ChannelRow, tuple[str, ...]]:
    """The channel and the secrets that its events are signed with; raises NotFound for any but PagerDuty's."""
    row = channel_rows.by_id(desk.store, channel_id)
    if row is None or row.kind != PAGERDUTY.name:
        raise NotFound(f"there is no PagerDuty channel {channel_id!r}")
    config, _ = channel_store.config_of(row, desk.box)
    assert isinstance(config, PagerDutyConfig)  # noqa: S101 - the kind's own form
    return row, (config.webhook_secret, config.previous_webhook_secret)


_RESULT: dict[str, Any] = {
    "type": "object",
    "required": ["result"],
    "properties": {"result": {"enum": [each.value for each in pagerduty_events.Result]}},
}
ROUTES = (
    Route(
        "POST",
        "/api/notifications/channels/{id}/pagerduty",
        told,
        "Take what was done in PagerDuty (its V3 webhooks, by signature)",
        good=202,
        result=_RESULT,
        refuses=(401,),
    ),
)
