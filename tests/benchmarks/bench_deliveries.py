"""The outbox under a flood: `python -m tests.benchmarks.bench_deliveries [--each N] [--hanging N] [--profile FILE]`.

2,500 incidents are told to four webhooks at once whose receiver takes 50 ms to answer, and 500 that were queued before
wait for a fifth that never answers. Store and receiver are processes of their own; this one is the worker's part. The
receiver knows the ids that it has seen. Target: the healthy channels drain at 200 notifications/s or more, each
notification arrives once and ends as `sent`, and the hanging channel delays none.
"""
# ruff: noqa: T201 - it prints its table

import argparse
import asyncio
import cProfile
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web
from msgspec.structs import replace

from data import bulk, schema
from data.config import Config
from data.queries.notifications import NotificationRow
from data.store import Store, connect
from data.tasks import Tasks
from engine import channel_store, outbox
from engine.audit import new_id
from engine.channels.http import HttpSender
from engine.delivery import Sender
from engine.inbox import Hub, Wires
from engine.secrets import SecretBox
from tests.engine.receivers import FIRING

HEALTHY = ("one", "two", "three", "four")
HANGING = "hanging"
ANSWER_S = 0.05
TARGET = 200
_LONGEST_S = 900.0


class Receiver:
    """Answers after `ANSWER_S`, or never; says at `/told` what came to each path, and how much of it twice."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._last: dict[str, float] = {}
        self._pauses: dict[str, float] = {}

    async def take(self, request: web.Request) -> web.Response:
        """A notification."""
        now = time.monotonic()
        self._pauses[request.path] = max(self._pauses.get(request.path, 0.0), now - self._last.get(request.path, now))
        self._last[request.path] = now
        name = f"{request.path} {request.headers['webhook-id']}"
        repeated = name in self._seen and request.path != f"/{HANGING}"  # what is not answered is rightly tried again
        self._counts["again" if repeated else request.path] += 1
        self._seen.add(name)
        await request.read()
        await asyncio.sleep(_LONGEST_S if request.path == f"/{HANGING}" else ANSWER_S)
        return web.Response()

    async def told(self, _: web.Request) -> web.Response:
        """What came so far."""
        return web.json_response({"counts": self._counts, "pauses": self._pauses})


async def receive() -> None:
    """Be the receiver, until killed."""
    receiver, app = Receiver(), web.Application()
    app.router.add_get("/told", receiver.told)
    app.router.add_post("/{name}", receiver.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"ready http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


@contextmanager
def program(*command: str) -> Iterator[tuple[str, psutil.Process]]:
    """A program of its own while the context is open; gives the last word of its first line, and its process."""
    with subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().split()[-1], psutil.Process(process.pid)
        finally:
            process.kill()


def fill(store: Store, box: SecretBox, url: str, each: int, hanging: int) -> None:
    """Make the channels and the outbox: what hangs is the oldest."""
    for name in (HANGING, *HEALTHY):
        form = {"url": f"{url}/{name}", "allow_private": True}
        channel_store.create(store, box, {"name": name, "kind": "webhook", "config": form}, by="bench")
    wanted = [HANGING] * hanging + [name for _ in range(each) for name in HEALTHY]
    incidents = [f"a-{number // len(HEALTHY)}" for number in range(len(wanted))]
    rows = [asdict(_queued(channel, incident)) for channel, incident in zip(wanted, incidents, strict=True)]
    store.transact([bulk.inserting(schema.notifications, rows)])


def _queued(channel: str, incident: str) -> NotificationRow:
    at = datetime.now(UTC)
    notice = replace(FIRING, at=at, opened_at=at, alert_id=f"{channel}-{incident}")
    return outbox.queued(new_id(), notice, channel=channel, at=at)


async def drain(home: Path, healthy: int) -> float:
    """Be the worker until all healthy channels are told; how many seconds it took."""
    store = connect(Config(home=home))
    tasks = Tasks()
    async with HttpSender() as http:
        sender = Sender(store, SecretBox(home), Wires(store, http, Hub()))
        begun = time.perf_counter()
        sending = tasks.start(sender.run(), name="send")
        while sender.counts["sent"] < healthy and time.perf_counter() - begun < _LONGEST_S:
            await asyncio.sleep(0.05)
        taken = time.perf_counter() - begun
        await sender.stop(grace_s=0.1)
        await sending
    print(f"{'results counted by the sender':44} {dict(sender.counts)}")
    store.close()
    return taken


def report(store: Store, url: str, each: int, taken: float) -> bool:
    """Print the figures; whether everything arrived once and is on record."""
    with urllib.request.urlopen(f"{url}/told") as answer:
        told = json.load(answer)
    of = "SELECT status, count(*) n FROM notifications WHERE channel <> ? GROUP BY 1"
    ended = {row["status"]: row["n"] for row in store.rows(of, [HANGING])}
    made = "max(date_diff('us', started_at, finished_at)) / 1000 AS ms, median(duration_ms) AS send"
    slowest = store.rows(f"SELECT {made} FROM delivery_attempts WHERE channel <> ?", [HANGING])[0]
    healthy = each * len(HEALTHY)
    pause = max(seconds for path, seconds in told["pauses"].items() if path != f"/{HANGING}")
    lines: list[tuple[str, Any]] = [
        ("notifications/s of the healthy channels", f"{healthy / taken:9.0f}   (aim: {TARGET})"),
        ("slowest hand-over, from claim to answer", f"{slowest['ms']:9.0f} ms"),
        ("a send at the median", f"{slowest['send']:9.0f} ms   (the receiver takes {1000 * ANSWER_S:g})"),
        ("longest pause of a healthy channel", f"{pause * 1000:9.0f} ms"),
        ("arrived, by channel", told["counts"]),
        ("rows of the healthy channels", ended),
    ]
    print("\n".join(f"{name:44} {value}" for name, value in lines))
    arrived = all(told["counts"].get(f"/{name}") == each for name in HEALTHY)
    return arrived and not told["counts"].get("again") and ended == {"sent": healthy}


def used(process: psutil.Process | None = None) -> float:
    """Seconds of CPU that a process has used, this one by default: it says more than time on a busy machine."""
    times = (process or psutil.Process()).cpu_times()
    return times.user + times.system


def main(each: int, hanging: int, profile: str) -> int:
    """Fill, drain, print; 1 when something was lost or doubled."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        program("data", "--home", folder) as (_, keeper),
        program("tests.benchmarks.bench_deliveries", "--receive") as (url, _),
    ):
        home = Path(folder)
        with closing(connect(Config(home=home))) as store:
            fill(store, SecretBox(home), url, each, hanging)
            profiler = cProfile.Profile()
            work, before = drain(home, each * len(HEALTHY)), (used(), used(keeper))
            taken = profiler.runcall(asyncio.run, work) if profile else asyncio.run(work)
            spent = [
                (now - then) * 1000 / (each * len(HEALTHY))
                for now, then in zip((used(), used(keeper)), before, strict=True)
            ]
            print(f"{'CPU a notification, sender and store':44} {spent[0]:9.1f} and {spent[1]:.1f} ms")
            if profile:
                profiler.dump_stats(profile)
            return 0 if report(store, url, each, taken) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=2500, help="notifications a healthy channel")
    parser.add_argument("--hanging", type=int, default=500, help="notifications of the hanging channel")
    parser.add_argument("--profile", default="", help="write the profile of the sender's event loop to this file")
    parser.add_argument("--receive", action="store_true", help="be the receiver")
    arguments = parser.parse_args()
    if arguments.receive:
        asyncio.run(receive())
    else:
        sys.exit(main(arguments.each, arguments.hanging, arguments.profile))
