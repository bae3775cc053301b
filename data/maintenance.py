"""What the store does by itself: merge closed rollups, and checkpoint when the write-ahead log has grown."""

import logging
import threading
from datetime import UTC, datetime

from data.compaction import compact
from data.database import Database
from data.errors import StoreError
from data.service import Service

#: Above this the log is moved into the file: it bounds what a restart must replay.
CHECKPOINT_BYTES = 64 * 1024 * 1024
_PERIOD_S = 10.0
_log = logging.getLogger(__name__)


class Maintenance:
    """The thread that does it. `stop` ends it after what it is doing."""

    def __init__(self, database: Database, service: Service) -> None:
        self._database = database
        self._service = service
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_PERIOD_S):
            try:
                maintain(self._database, self._service, datetime.now(UTC))
            except (StoreError, OSError) as error:
                _log.warning("maintenance will try again: %s", error)


def maintain(database: Database, service: Service, now: datetime) -> None:
    """Merge what is closed at `now`; checkpoint when the log has grown."""
    if saved := compact(database, service.unmerged, now):
        _log.info("merged rollups: %d rows fewer", saved)
    if database.wal_bytes > CHECKPOINT_BYTES:
        service.checkpoint()
