"""Keeps the stored rules as the folder's files say: at the start, and whenever a file changes.

Only the worker that leads does it. A fault that may pass by itself (a channel made later) is looked at again.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from data.errors import StoreError
from engine import provisioning, rule_files
from engine.audit import clock
from engine.desk import Desk
from engine.provisioning import Applied, FileFault

LOOK_S = 1.0
#: How many looks later files with faults are tried again although they have not changed.
AGAIN = 15
_log = logging.getLogger(__name__)

Signature = tuple[tuple[str, int, int, int], ...]


def signature(folder: Path) -> Signature:
    """What changes when a file of the folder does; empty for a folder that cannot be read."""
    try:
        stats = [(path.name, path.stat()) for path in rule_files.files(folder)]
    except OSError:
        return ()
    return tuple((name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in stats)


class Provisioner:
    """Watches the folder that the configuration names."""

    def __init__(self, desk: Desk, *, now: Callable[[], datetime] = clock) -> None:
        self._desk, self._now = desk, now
        self._folder = desk.config.rules_folder
        self._applied: Signature | None = None
        self._looks = 0
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Watch until stopped. Everything that can fail is told in the worker's health, and tried again."""
        while not self._stopping.is_set():
            await self._look()
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    def stop(self) -> None:
        """End `run`."""
        self._stopping.set()

    async def _look(self) -> None:
        if not self._desk.status.leading:
            self._applied = None
            return
        if self._folder != self._desk.config.rules_folder:
            self._folder, self._applied = self._desk.config.rules_folder, None
        found = await asyncio.to_thread(signature, self._folder)
        self._looks += 1
        again = bool(self._desk.provisioning.faults) and self._looks >= AGAIN
        if found == self._applied and not again:
            return
        self._looks = 0
        try:
            done = await asyncio.to_thread(self._apply)
        except StoreError as error:
            self._tell((FileFault("", "", f"the store failed: {error}"),))
            return
        except Exception as error:  # noqa: BLE001 - the watcher's look: the next one tries again
            _log.exception("the rules' folder could not be applied")
            self._tell((FileFault("", "", f"{type(error).__name__}: {error}"),))
            return
        self._applied = found
        self._desk.provisioning.files = done.files
        self._desk.provisioning.applied_at = self._now()
        self._tell(done.faults)
        if done.changed:
            _log.info("%s rules were changed by the files in %s", done.changed, self._folder)
            self._desk.rules_changed.set()

    def _apply(self) -> Applied:
        return provisioning.apply(self._desk.store, provisioning.look(self._folder), self._now())

    def _tell(self, faults: tuple[FileFault, ...]) -> None:
        if faults != self._desk.provisioning.faults:
            for fault in faults:
                _log.warning("rules from files: %s", fault)
        self._desk.provisioning.faults = faults
