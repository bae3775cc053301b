"""/api/jobs: what is done regularly, by the worker and by the store."""

import asyncio
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from data.errors import StoreUnavailable
from data.protocol import Work
from data.queries.jobs import JobRow
from engine.api.reading import actor, answer, posted
from engine.api.routes import DESK, LISTING, Route
from engine.errors import Refused
from engine.housekeeping.housekeeper import Housekeeper
from engine.housekeeping.job import Job


class RunBody(BaseModel):
    """`dry_run`: say what would be done, and do nothing."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = False


async def listing(request: web.Request) -> web.Response:
    """Every job with its last run."""
    keeper = _keeper(request)
    status = await asyncio.to_thread(request.app[DESK].store.ping)
    latest = await keeper.latest()
    mine = [_shown(keeper, job, latest.get(job.name)) for job in keeper.jobs.values()]
    stores = [_of_store(work, latest.get(work.name)) for work in status.work]
    return answer({"items": [*mine, *stores], "next": None})


async def run(request: web.Request) -> web.Response:
    """Do a job now, or say what it would do."""
    keeper, name = _keeper(request), request.match_info["name"]
    asked = await posted(request, RunBody)
    if name not in keeper.jobs:
        await _check_not_the_stores(request, name)
    if asked.dry_run:
        return answer({"name": name, "dry_run": True, "ok": True, "result": await keeper.rehearse(name)})
    done = await keeper.do(name, by=actor(request))
    return answer({"name": name, "dry_run": False, "ok": done.ok, "result": done.result})


async def _check_not_the_stores(request: web.Request, name: str) -> None:
    status = await asyncio.to_thread(request.app[DESK].store.ping)
    if any(work.name == name for work in status.work):
        raise Refused(f"the store itself does {name} when it is due, and cannot be asked to")


def _keeper(request: web.Request) -> Housekeeper:
    keeper = request.app[DESK].housekeeper
    if keeper is None:
        raise StoreUnavailable("the store has not answered yet; the worker keeps trying")
    return keeper


def _shown(keeper: Housekeeper, job: Job, last: JobRow | None) -> dict[str, Any]:
    return {
        "name": job.name,
        "title": job.title,
        "program": "worker",
        "every_s": job.every.total_seconds(),
        "next_at": keeper.next_at(job.name),
        "running_since": keeper.running_since(job.name),
        "hanging_since": last.hanging_since if last else None,
        "can_rehearse": job.rehearse is not None,
        "last": None
        if last is None or not last.runs
        else _last(last.started_at, last.duration_ms, ok=last.ok, result=last.result),
        "runs": last.runs if last else 0,
        "failures": last.failures if last else 0,
        "failing_since": last.failing_since if last else None,
    }


def _of_store(work: Work, noted: JobRow | None) -> dict[str, Any]:
    return {
        "name": work.name,
        "title": work.title,
        "program": "store",
        "every_s": work.every_s,
        "next_at": None,
        "running_since": work.running_since,
        "hanging_since": noted.hanging_since if noted else None,
        "can_rehearse": False,
        "last": None
        if work.started_at is None
        else _last(work.started_at, work.duration_ms, ok=work.ok, result=work.result),
        "runs": work.runs,
        "failures": work.failures,
    }


def _last(started_at: Any, duration_ms: float, *, ok: bool, result: str) -> dict[str, Any]:
    return {"started_at": started_at, "duration_ms": round(duration_ms, 3), "ok": ok, "result": result}


ROUTES = (
    Route("GET", "/api/jobs", listing, "What is done regularly, and how it last went", result=LISTING),
    Route("POST", "/api/jobs/{name}/run", run, "Do a job now, or say what it would do", RunBody),
)
