"""Keeps the ring in step with the store, and with what other proxies of this home know while it is away.

The store says which keys there are; the copy outlives it, and the proxy's restart. A change that one proxy makes is in
the copy at once, where its siblings see it. A key that is switched off while the store is away is off from then on:
the decision stands in the copy until one of the proxies has told the store.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from data import key_changes
from data.errors import ConflictError, KeyFault, NoSuchKey, StoreError
from data.keys import StoredKey
from data.queries import keys as rows
from data.queries.keys import KeyStore
from proxy.admission.key_copy import NO_STAMP, Decided, KeyCopy, read_copy, stamp_of, write_copy
from proxy.admission.keys import KeyRing

INTERVAL_S: Final = 1.0
COPY_INTERVAL_S: Final = 0.1
#: How long one look at the store may take; it goes on by itself, and is waited for again.
PATIENCE_S: Final = 2.0
#: A key that the store does not know is let be for so long: the store may have been asked before it was made.
_LATELY: Final = timedelta(seconds=10)
_log = logging.getLogger(__name__)


class Told(NamedTuple):
    """What the store said. `keys` is None where nothing has changed; `settled`: it knows of these decisions now."""

    stamp: str
    keys: list[StoredKey] | None
    settled: frozenset[str]


class KeyWatch:
    """Fills `ring`. `store` gives the store or raises StoreError."""

    def __init__(self, ring: KeyRing, copy: Path, store: Callable[[], KeyStore]) -> None:
        self._ring = ring
        self._copy = copy
        self._store = store
        self._keys: dict[str, StoredKey] = {}  # as the store has them
        self._decided: dict[str, Decided] = {}  # what it does not have yet
        self._own: dict[str, Decided] = {}  # those of this proxy
        self._stamp = ""
        self._copied = NO_STAMP  # of the copy as it was read last
        self._asking: asyncio.Future[Told] | None = None

    @property
    def keys(self) -> list[StoredKey]:
        """Every key that is known, by name."""
        return [self._as_decided(self._keys[name]) for name in sorted(self._keys)]

    def get(self, name: str) -> StoredKey | None:
        """The key of that name, as far as it is known."""
        key = self._keys.get(name)
        return None if key is None else self._as_decided(key)

    def read_copy(self) -> None:
        """Take over the copy where it has changed since it was read last."""
        try:
            stamp = stamp_of(self._copy)
            if stamp == self._copied:
                return
            self._copied = stamp
            found = read_copy(self._copy)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            _log.warning("the copy of the virtual keys cannot be read: %s", type(error).__name__)
            return
        self._decided = {each.name: each for each in found.decided} | self._own
        self._know(newest(self._keys, found.keys))
        if len(self._decided) > len(found.decided):
            self._write_copy()  # a sibling wrote it at the same time, and did not know of a decision made here

    def apply(self, changed: StoredKey, *, enabled_at: datetime | None = None) -> None:
        """The store has changed a key: calls are held to it from now on, or to a later change that is known already.

        A key that was switched off here meanwhile stays off, unless the store has it off too, or somebody asked at
        `enabled_at` or later for it to be enabled.
        """
        decided = self._decided.get(changed.name)
        wanted = decided is not None and enabled_at is not None and enabled_at >= decided.at
        if wanted or changed.revoked_at is not None or not changed.document.enabled:
            self._settle({changed.name})
        self._know(newest(self._keys, (changed,)))
        self._write_copy()
        self._stamp = ""

    def switch_off(self, name: str, *, by: str, at: datetime) -> StoredKey | None:
        """Refuse a key from now on, here and at the siblings, and tell the store when it is there; None for no key."""
        key = self._keys.get(name)
        if key is None or key.revoked_at is not None:
            return key
        self._own[name] = self._decided[name] = Decided(name=name, by=by, at=at)
        self._know(self._keys)
        self._write_copy()
        return self._as_decided(key)

    async def follow_copy(self) -> None:
        """Follow what siblings write, until cancelled."""
        while True:
            self.read_copy()
            await asyncio.sleep(COPY_INTERVAL_S)

    async def follow_store(self) -> None:
        """Follow the store, until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(INTERVAL_S)

    async def refresh(self) -> None:
        """Ask the store, and wait for it a little; while it is away what is known stays."""
        if self._asking is None:
            # one look at a time: a store that hangs holds one thread, not all there are
            ask = asyncio.get_running_loop().run_in_executor
            self._asking = ask(None, self._ask, self._stamp, tuple(self._decided.values()))
        asking = self._asking
        await asyncio.wait({asking}, timeout=PATIENCE_S)
        if not asking.done() or self._asking is not asking:
            return
        self._asking = None
        try:
            told = asking.result()
        except StoreError:
            return
        except Exception:  # noqa: BLE001 - whatever a row holds, calls go on by what is known
            _log.exception("the virtual keys cannot be read from the store")
            return
        self._take_over(told)

    def _ask(self, known: str, decided: Iterable[Decided]) -> Told:
        store = self._store()
        settled = frozenset(each.name for each in decided if _is_told(store, each))
        stamp = rows.stamp(store)
        return Told(stamp, None if stamp == known else rows.every(store), settled)

    def _take_over(self, told: Told) -> None:
        self._settle(told.settled)
        if told.keys is not None:
            self._stamp = told.stamp
            names = {key.name for key in told.keys}
            lately = datetime.now(UTC) - _LATELY
            kept = {name: key for name, key in self._keys.items() if name in names or key.updated_at > lately}
            self._know(newest(kept, told.keys))
        if told.keys is not None or told.settled:
            self._write_copy()

    def _settle(self, names: Iterable[str]) -> None:
        for name in names:
            self._decided.pop(name, None)
            self._own.pop(name, None)

    def _as_decided(self, key: StoredKey) -> StoredKey:
        decided = self._decided.get(key.name)
        return key if decided is None else decided.applied(key)

    def _know(self, keys: dict[str, StoredKey]) -> None:
        self._keys = keys
        self._ring.replace(self.keys)

    def _write_copy(self) -> None:
        copy = KeyCopy(keys=tuple(self._keys.values()), decided=tuple(self._decided.values()))
        try:
            self._copied = write_copy(self._copy, copy)
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


def _is_told(store: KeyStore, decided: Decided) -> bool:
    """Switch a key off in the store; False where that has to be tried again. Raises StoreError."""
    try:
        key_changes.switch(
            store, decided.name, enabled=False, by=decided.by, now=datetime.now(UTC), decided_at=decided.at
        )
    except ConflictError:
        return False
    except (NoSuchKey, KeyFault):  # it is gone, or revoked
        return True
    return True
