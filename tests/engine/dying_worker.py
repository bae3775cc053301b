"""A worker's way from a breach to a recorded delivery, in a process that kills itself at one point of it.

Points are numbered in the order they are passed: before, within and after each call of the store and of the wire, which
are all the places where the worker waits for anything.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from data.config import Config
from data.queries import leases, notifications
from data.store import Store, connect
from data.tasks import Tasks
from engine import rules
from engine.channels import Receipt
from engine.channels.http import HttpSender
from engine.delivery import Sender
from engine.evaluator import LEASE
from engine.inbox import Hub, Wires
from engine.notice import Notice
from engine.secrets import SecretBox
from engine.tick import tick

#: The store's calls that are waited for.
_CALLS = frozenset({"frame", "sql", "rows", "transact", "ping"})
WITHIN_S = 0.0007


@dataclass
class Fate:
    """At which point to die; 0 for never. `passed` names the points so far."""

    point: int
    passed: list[str]

    def at(self, name: str) -> None:
        """Pass a point, or die there."""
        if self._is_next(name):
            _die()

    def within(self, name: str) -> None:
        """Pass a point, or die a moment later, while something is being done."""
        if self._is_next(name):
            threading.Timer(WITHIN_S, _die).start()

    def _is_next(self, name: str) -> bool:
        self.passed.append(name)
        return len(self.passed) == self.point


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class FatedStore:
    """A store at each of whose calls there are three points."""

    def __init__(self, store: Store, fate: Fate) -> None:
        self._store, self._fate = store, fate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._fated(name, found) if name in _CALLS else found

    def _fated(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def fated(*args: Any, **options: Any) -> Any:
            self._fate.at(f"before {name}")
            self._fate.within(f"within {name}")
            found = call(*args, **options)
            self._fate.at(f"after {name}")
            return found

        return fated


class FatedWires(Wires):
    """A wire at each of whose sends there are three points."""

    fate: Fate

    async def post(self, url: str, **options: Any) -> Receipt:
        self.fate.at("before post")
        self.fate.within("within post")
        receipt = await super().post(url, **options)
        self.fate.at("after post")
        return receipt

    async def show(self, message_id: str, notice: Notice) -> None:
        self.fate.at("before show")
        await super().show(message_id, notice)
        self.fate.at("after show")


def work(home: str, at: datetime, point: int, told: Any = None) -> None:
    """Evaluate at `at`, and send until nothing waits; `told` gets the names of the points."""
    fate = Fate(point, [])
    asyncio.run(_work(Config(home=Path(home)), at, fate))
    if told is not None:
        told.put(fate.passed)


async def _work(config: Config, at: datetime, fate: Fate) -> None:
    plain = connect(config)
    store: Any = FatedStore(plain, fate)
    token = leases.acquire(store, LEASE, f"worker {os.getpid()}", now=at, until=at + timedelta(seconds=10))
    fence = [leases.holding(LEASE, token or 0, until=at + timedelta(seconds=10))]
    watching = [rules.watched(row) for row in rules.every(store)]
    await asyncio.to_thread(tick, store, watching, at, fence=fence)
    async with HttpSender() as http:
        wires = FatedWires(store, http, Hub())
        wires.fate = fate
        sender = Sender(store, SecretBox(config.home), wires, now=lambda: at)
        tasks = Tasks()
        sending = tasks.start(sender.run(), name="send")
        async with asyncio.timeout(30):
            while notifications.backlog(plain, at)["pending"]:
                await asyncio.sleep(0.005)
        await sender.stop()
        await sending
    plain.close()
