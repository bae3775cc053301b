"""Which of several workers acts: one worker's hold on a lease of the store.

The token is known here alone. Several threads use it: one asks for the lease, another prolongs it, others fence what
they write by it. Whoever finds that a token is no longer the newest says which one, for it may not be the one that is
held by now.
"""

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

from data.errors import ConflictError
from data.queries import leases
from data.store import Statement, Store
from engine.audit import new_id

#: Another one after each start of the machine; the processes that see each other.
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE: Final = Path("/proc/self/ns/pid")


class Lease:
    """One worker's hold on a lease. Thread-safe; `take`, `prolong`, `offer` and `end` wait for the store."""

    def __init__(self, store: Store, name: str, holder: str, lasts: timedelta, *, now: Callable[[], datetime]) -> None:
        self.lasts = lasts
        self._store, self._name, self._holder, self._now = store, name, holder, now
        self._token = 0
        self._offered_until = 0.0
        self._ended = False
        self._guard = threading.Lock()  # of the token; nobody waits for the store with it
        self._changing_hands = threading.Lock()

    @property
    def token(self) -> int:
        """What it is held by, as far as is known; 0 for not at all."""
        return self._token

    @property
    def on_offer(self) -> bool:
        """Whether it was given back a moment ago, for another worker to take."""
        return time.monotonic() < self._offered_until

    def take(self) -> bool:
        """Ask for it, unless it is held already; whether it is. Raises StoreError."""
        with self._changing_hands:
            if not (self._token or self._ended or self.on_offer):
                self._token = self._acquired()
            return bool(self._token)

    def prolong(self) -> bool:
        """Let it last from now on; False when it is not held, or just turns out to be another's. Raises StoreError."""
        token = self._token
        if not token:
            return False
        try:
            self._store.transact(self.fence(token))
        except ConflictError:
            self.lost(token)
            return False
        return True

    def fence(self, token: int) -> list[Statement]:
        """Put first, it fails a transaction with ConflictError once another worker's token has followed."""
        return [leases.holding(self._name, token, until=self._now() + self.lasts)]

    def lost(self, token: int) -> bool:
        """Let go of it if it is held by `token`; whether it was."""
        with self._guard:
            held = bool(token) and self._token == token
            if held:
                self._token = 0
            return held

    def offer(self) -> None:
        """Give it back, and do not ask for it until another worker has had the time to. Raises StoreError."""
        with self._changing_hands:
            try:
                self._give_back()
            finally:  # the store may have taken its time
                self._offered_until = time.monotonic() + self.lasts.total_seconds()

    def end(self) -> None:
        """Give it back for good. Raises StoreError: it runs out by itself then."""
        with self._changing_hands:
            self._ended = True
            self._give_back()

    def _give_back(self) -> None:
        token = self._token
        if self.lost(token):
            self._store.transact([leases.releasing(self._name, token, now=self._now())])

    def _acquired(self) -> int:
        """The new token, or 0 while another worker that lives holds it."""
        store, name, now = self._store, self._name, self._now()
        token = leases.acquire(store, name, self._holder, now=now, until=now + self.lasts)
        found = None if token else leases.holder(store, name)
        # this very worker holds it where the store's answer to an earlier asking was lost, and the token with it
        if found and (found[0] == self._holder or _is_dead(found[0])):
            store.transact([leases.evicting(name, found[0], now=now)])
            token = leases.acquire(store, name, self._holder, now=now, until=now + self.lasts)
        return token or 0


def holder_name() -> str:
    """A name for a holder in this process that no other has had: `machine:process:…`."""
    return f"{_machine()}:{os.getpid()}:{new_id()[-6:]}"


def _is_dead(holder: str) -> bool:
    """Whether a holder is a process of this machine that has ended."""
    machine, _, process = holder.rpartition(":")[0].rpartition(":")
    if machine != _machine() or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


@cache
def _machine() -> str:
    """What a process's number counts on: the host, and where the system tells them its start and its containers."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts += [_BOOT.read_text(encoding="ascii")[:8], str(_NAMESPACE.stat().st_ino)]
    return "/".join(parts)
