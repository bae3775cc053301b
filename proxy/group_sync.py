"""Makes what was written durable in groups, in a thread of its own: many frames wait for the disk once."""

import threading
from collections.abc import Callable
from typing import Final

#: How long what is written waits for more before it is made durable; the disk's own time comes on top.
GROUP_S: Final = 0.04
_RETRY_S: Final = 0.1


class GroupSync:
    """Calls `sync` a moment after each `wake`, until `stop`; it says False where something is left to try again."""

    def __init__(self, sync: Callable[[], bool]) -> None:
        self._sync = sync
        self._dirty = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spool-sync", daemon=True)

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There is something to make durable. Any thread may say so."""
        if not self._dirty.is_set():
            self._dirty.set()

    def stop(self) -> None:
        """End the thread; what was written last is left to the caller."""
        self._stopping.set()
        self._dirty.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._dirty.wait()
            self._stopping.wait(GROUP_S)
            self._dirty.clear()
            if not self._sync():
                self._stopping.wait(_RETRY_S)
                self._dirty.set()
