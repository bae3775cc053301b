"""/health and /metrics: how the worker is, in its own words and figures."""

import asyncio
from dataclasses import asdict
from typing import Any

from aiohttp import web

from data.errors import StoreError
from data.queries import leases
from data.queries import notifications as outbox
from engine import worker_metrics
from engine.api.reading import answer
from engine.api.routes import DESK, Route
from engine.audit import clock
from engine.desk import Desk
from engine.evaluator import LEASE

#: A notification overdue for this long means that the outbox stands still.
OVERDUE_S = 60.0


async def health(request: web.Request) -> web.Response:
    """`ok` or `degraded` with a check each of store, evaluator and outbox; 200 in both cases."""
    desk = request.app[DESK]
    try:
        checks = await asyncio.to_thread(_checks, desk)
    except StoreError as error:
        evaluator = {"ok": False, **asdict(desk.status)}
        checks = {"store": {"ok": False, "message": str(error)}, "evaluator": evaluator, "rule_files": _files(desk)}
    good = all(check["ok"] for check in checks.values())
    return answer({"status": "ok" if good else "degraded", "time": clock(), "checks": checks})


def _checks(desk: Desk) -> dict[str, dict[str, Any]]:
    store, now = desk.store, clock()
    status = store.ping()
    leader = leases.holder(store, LEASE)
    waiting = outbox.backlog(store, now)
    evaluator = {**asdict(desk.status), "leader": leader[0] if leader and leader[1] > now else ""}
    return {
        "store": {"ok": True, "version": status.version, "uptime_s": status.uptime_s},
        "evaluator": {
            "ok": not (desk.status.last_error or desk.status.store_error or desk.status.waiting)
            and bool(evaluator["leader"]),
            **evaluator,
        },
        "outbox": {"ok": waiting["overdue_s"] < OVERDUE_S, **waiting},
        "rule_files": _files(desk),
    }


def _files(desk: Desk) -> dict[str, Any]:
    told = asdict(desk.provisioning)
    return {"ok": not desk.provisioning.faults, "folder": str(desk.config.rules_folder), **told}


async def metrics(request: web.Request) -> web.Response:
    """The worker's own figures."""
    text = await asyncio.to_thread(worker_metrics.text, request.app[DESK], clock())
    return web.Response(body=text, content_type="text/plain", charset="utf-8")


ROUTES = (
    Route("GET", "/health", health, "How the worker is"),
    Route(
        "GET",
        "/metrics",
        metrics,
        "The worker's metrics in Prometheus' text format",
        result={"type": "string"},
        media="text/plain",
    ),
)
