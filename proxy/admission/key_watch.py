"""Keeps the ring in step with the store, and with what other proxies of this home know while it is away.

The store says which keys there are; `HOME/keys.json` (0600, digests only) is the copy that outlives it, the proxy's
restart included. A change that one proxy makes is in the copy at once, where its siblings see it.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from data.errors import StoreError
from data.keys import StoredKey
from data.queries import keys as rows
from data.queries.keys import KeyStore
from proxy.admission.keys import KeyRing

INTERVAL_S: Final = 1.0
COPY_INTERVAL_S: Final = 0.1
#: A key that the store does not know is let be for so long: the store may have been asked before it was made.
_LATELY: Final = timedelta(seconds=10)
_KEYS: TypeAdapter[tuple[StoredKey, ...]] = TypeAdapter(tuple[StoredKey, ...])
_log = logging.getLogger(__name__)


class KeyWatch:
    """Fills `ring`. `store` gives the store or raises StoreError."""

    def __init__(self, ring: KeyRing, copy: Path, store: Callable[[], KeyStore]) -> None:
        self._ring = ring
        self._copy = copy
        self._store = store
        self._keys: dict[str, StoredKey] = {}
        self._stamp = ""
        self._copied = (0, 0)  # of the copy as it was read last
        #: Changes that the store does not have yet: they win over what it says.
        self._pending: dict[str, StoredKey] = {}

    @property
    def keys(self) -> list[StoredKey]:
        """Every key that is known, by name."""
        return [self._keys[name] for name in sorted(self._keys)]

    def read_copy(self) -> None:
        """Take over the copy where it has changed since it was read last."""
        try:
            found = self._copy.stat()
        except OSError:
            return
        if (found.st_mtime_ns, found.st_ino) == self._copied:
            return
        self._copied = (found.st_mtime_ns, found.st_ino)
        try:
            keys = _KEYS.validate_json(self._copy.read_bytes())
        except (OSError, ValidationError, ValueError) as error:
            _log.warning("the copy of the virtual keys cannot be read: %s", type(error).__name__)
            return
        self._know(newest(self._keys, keys))

    def apply(self, changed: StoredKey, *, pending: bool = False) -> None:
        """A key has changed: calls are held to it from now on. `pending`: the store does not have it yet."""
        if pending:
            self._pending[changed.name] = changed
        self._know({**self._keys, changed.name: changed})
        self._write_copy()
        self._stamp = ""

    async def run(self) -> None:
        """Follow the store and the copy, until cancelled."""
        loop = asyncio.get_running_loop()
        look_at = 0.0
        while True:
            self.read_copy()
            if loop.time() >= look_at:
                await self.refresh()
                look_at = loop.time() + INTERVAL_S
            await asyncio.sleep(COPY_INTERVAL_S)

    async def refresh(self) -> None:
        """Ask the store; while it is away what is known stays."""
        try:
            found = await asyncio.to_thread(self._read, self._stamp)
        except StoreError:
            return
        except Exception:  # noqa: BLE001 - whatever a row holds, calls go on by what is known
            _log.exception("the virtual keys cannot be read from the store")
            return
        if found is not None:
            self._stamp, keys = found
            told = {key.name for key in keys}
            lately = datetime.now(UTC) - _LATELY
            kept = {name: key for name, key in self._keys.items() if name in told or key.updated_at > lately}
            self._know(newest(kept, keys))
            self._write_copy()

    def _read(self, known: str) -> tuple[str, Sequence[StoredKey]] | None:
        store = self._store()
        for name, key in list(self._pending.items()):
            store.transact([rows.overwriting(key)])
            self._pending.pop(name, None)
        stamp = rows.stamp(store)
        return None if stamp == known else (stamp, rows.every(store))

    def _know(self, keys: dict[str, StoredKey]) -> None:
        self._keys = keys
        self._ring.replace(keys.values())

    def _write_copy(self) -> None:
        try:
            self._copied = write_copy(self._copy, self.keys)
        except OSError as error:
            _log.warning("the copy of the virtual keys cannot be written: %s", error.strerror)


def newest(known: Mapping[str, StoredKey], found: Iterable[StoredKey]) -> dict[str, StoredKey]:
    """Return the keys by name, each in the newest version of both: a source may have been read before a change."""
    keys = dict(known)
    for key in found:
        old = keys.get(key.name)
        if old is None or (key.version, key.updated_at) >= (old.version, old.updated_at):
            keys[key.name] = key
    return keys


def write_copy(path: Path, keys: Iterable[StoredKey]) -> tuple[int, int]:
    """Write the copy, its owner's alone, as a whole or not at all; return its stamp. Raises OSError."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_KEYS.dump_json(tuple(keys)))
    found = draft.stat()
    draft.replace(path)
    return found.st_mtime_ns, found.st_ino
