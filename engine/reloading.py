"""The configuration read again while the worker works: what follows it at once, and what takes a new start.

Rules, leases, sends under way and connections are not touched. Most parts ask the desk whenever they need a setting;
those that hold on to one are told here.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from typing import Final

from data.config import Config
from data.errors import StoreError
from data.store import Store
from data.tasks import Tasks
from engine.audit import clock
from engine.bucket import Limit
from engine.channels.http import HttpSender
from engine.delivery import Sender
from engine.desk import Desk
from engine.housekeeping.heartbeat import heartbeat
from engine.housekeeping.housekeeper import Housekeeper
from engine.post import limit_all

RETRY_S: Final = 1.0
#: What a running worker holds on to: where it listens, where its data and the app are, and what it can decrypt.
_FIXED: Final = {"worker": ("host", "port", "secret_key"), "ui": ("host", "port")}
_log = logging.getLogger(__name__)


def followed(old: Config, new: Config) -> tuple[Config, list[str]]:
    """The configuration to go on with, and the names of the settings that differ and take a new start."""
    kept = [name for name in ("home", "store") if getattr(old, name) != getattr(new, name)]
    held: dict[str, object] = {"home": old.home, "store": old.store}
    for section, names in _FIXED.items():
        before, after = getattr(old, section), getattr(new, section)
        kept += [f"{section}.{name}" for name in names if getattr(before, name) != getattr(after, name)]
        held[section] = dataclasses.replace(after, **{name: getattr(before, name) for name in names})
    return dataclasses.replace(new, **held), kept  # type: ignore[arg-type]


class Reloading:
    """Follows the configuration. For the event loop's thread only."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._begun = desk.config
        self._parts: Callable[[Config, Config], None] | None = None

    def tell(self, parts: Callable[[Config, Config], None]) -> None:
        """Tell `parts` of the old and the new one from now on, and of what has changed until now."""
        self._parts = parts
        if self._desk.config != self._begun:
            parts(self._begun, self._desk.config)

    def follow(self, config: Config) -> None:
        """Go on with another configuration."""
        old = self._desk.config
        new, kept = followed(old, config)
        self._desk.config = new
        if self._parts is not None:
            self._parts(old, new)
        note = f"; these take a new start: {', '.join(kept)}" if kept else ""
        _log.warning("the configuration was read again%s", note)


class Parts:
    """The parts of a worker at work that hold on to settings."""

    def __init__(self, desk: Desk, tasks: Tasks, http: HttpSender, sender: Sender, housekeeper: Housekeeper) -> None:
        self._desk, self._tasks, self._http = desk, tasks, http
        self._sender, self._housekeeper = sender, housekeeper

    def follow(self, old: Config, new: Config) -> None:
        """Hold on to the new settings."""
        self._sender.public_url = self._desk.public_url
        if _beats(old) != _beats(new):
            self._housekeeper.put("heartbeat", heartbeat(self._desk, self._http) if new.worker.heartbeat_url else None)
        if overall(old) != overall(new):
            self._tasks.start(_limited(self._desk, self._desk.store), name="the limit over all channels")


def overall(config: Config) -> Limit:
    """What all channels together take."""
    return Limit(config.worker.notices_per_minute, config.worker.notices_burst)


def _beats(config: Config) -> tuple[str, float]:
    return config.worker.heartbeat_url, config.worker.heartbeat_s


async def _limited(desk: Desk, store: Store) -> None:
    """Tell the store of the limit, for as long as it takes."""
    while True:
        limit = overall(desk.config)
        try:
            await asyncio.to_thread(limit_all, store, limit, clock())
        except StoreError as error:
            _log.warning("the limit over all channels waits for the store: %s", error)
            await asyncio.sleep(RETRY_S)
            continue
        if limit == overall(desk.config):
            return
