"""The worker's API: every route in one place."""

from collections.abc import AsyncIterator

from aiohttp import web

from data.tasks import Tasks
from engine.api import (
    analytics,
    audit,
    channels,
    handling,
    health,
    incidents,
    jobs,
    metrics,
    notifications,
    openapi,
    pagerduty,
    preview,
    rule_bulk,
    rule_templates,
    rule_transfer,
    rule_versions,
    rules,
    silences,
    simulation,
)
from engine.api.guard import guard
from engine.api.problems import problems
from engine.api.reading import answer
from engine.api.routes import DESK, FOLLOWING, SOCKETS, Route
from engine.desk import Desk
from engine.inbox_following import Following

MAX_BODY_BYTES = 1024 * 1024


async def describe(_: web.Request) -> web.Response:
    """The OpenAPI document."""
    return answer(openapi.description(ROUTES))


ROUTES: tuple[Route, ...] = (
    *rule_transfer.ROUTES,  # before a rule of the id `export`
    *rule_bulk.ROUTES,
    *rules.ROUTES,
    *simulation.ROUTES,
    *rule_versions.ROUTES,
    *rule_templates.ROUTES,
    *incidents.ROUTES,
    *handling.ROUTES,
    *audit.ROUTES,
    *silences.ROUTES,
    *channels.ROUTES,
    *pagerduty.ROUTES,
    *preview.ROUTES,
    *notifications.ROUTES,
    *analytics.ROUTES,
    *metrics.ROUTES,
    *jobs.ROUTES,
    *health.ROUTES,
    Route("GET", "/api/openapi.json", describe, "This description"),
)


def make_app(desk: Desk) -> web.Application:
    """The application; `desk` says where the store is once it has answered."""
    app = web.Application(middlewares=[guard, problems], client_max_size=MAX_BODY_BYTES)
    app[DESK], app[SOCKETS] = desk, Tasks()
    app[FOLLOWING] = Following(desk.hub, lambda: desk.store)
    app.cleanup_ctx.append(_sockets)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, route.answer)
    return app


async def _sockets(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[SOCKETS].stop()
