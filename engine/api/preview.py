"""POST /api/notifications/preview."""

import asyncio
from typing import Annotated, Any, Self

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.api.reading import answer, posted
from engine.api.routes import DESK, Route
from engine.audit import clock
from engine.preview import Asked, preview

_Id = Annotated[str, Field(max_length=200)]


class PreviewBody(BaseModel):
    """What to preview: a rule's message (`template`), and a channel, stored (`channel_id`) or not (`kind`, `config`).

    About an incident, about what a rule measures now, or without either about a made-up incident.
    """

    model_config = ConfigDict(extra="forbid")

    template: Annotated[str, Field(max_length=4000)] | None = None
    channel_id: _Id = ""
    kind: Annotated[str, Field(max_length=40)] = ""
    config: dict[str, Any] = Field(default_factory=dict)
    alert_id: _Id = ""
    rule_id: _Id = ""

    @model_validator(mode="after")
    def _asks_for_one(self) -> Self:
        if self.template is None and not self.channel_id and not self.kind:
            raise ValueError("name a template, a channel_id, or a kind with its config")
        if (self.channel_id and self.kind) or (self.alert_id and self.rule_id):
            raise ValueError("channel_id or kind, and alert_id or rule_id: not both")
        return self


async def show(request: web.Request) -> web.Response:
    """What would be said; nothing is sent."""
    desk, asked = request.app[DESK], await posted(request, PreviewBody)
    wanted = Asked(**asked.model_dump())
    return answer(await asyncio.to_thread(preview, desk.store, desk.box, wanted, clock(), desk.public_url))


ROUTES = (
    Route(
        "POST",
        "/api/notifications/preview",
        show,
        "A template filled in, or all that a channel would send, without sending it",
        PreviewBody,
        refuses=(404,),
    ),
)
