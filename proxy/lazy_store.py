"""A connection to the store that is made when it is first asked for, and made again after it failed."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar
from typing import Protocol as Shape


class _Closable(Shape):
    def close(self) -> None: ...


S = TypeVar("S", bound=_Closable)


class LazyStore(Generic[S]):
    """Gives one connection to all who ask; any thread may."""

    def __init__(self, connect: Callable[[], S]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._store: S | None = None

    def get(self) -> S:
        """Return the connection. Raises StoreError where there is no store."""
        with self._lock:
            if self._store is None:
                self._store = self._connect()
            return self._store

    def close(self) -> None:
        """Let go of it."""
        with self._lock:
            store, self._store = self._store, None
        if store is not None:
            store.close()
