"""What the store does by itself: merge closed rollups, and checkpoint when the write-ahead log has grown."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from data.compaction import compact
from data.database import Database
from data.errors import StoreError
from data.protocol import Work
from data.service import Service

#: Above this the log is moved into the file: it bounds what a restart must replay.
CHECKPOINT_BYTES = 64 * 1024 * 1024
_PERIOD_S = 10.0
_MERGING = Work("compaction", "Merge the sums of closed hours and days", _PERIOD_S)
_CHECKPOINT = Work("checkpoint", "Move a write-ahead log that has grown into the file", _PERIOD_S)
_log = logging.getLogger(__name__)


class Maintenance:
    """The thread that does it. `stop` ends it after what it is doing."""

    def __init__(self, database: Database, service: Service) -> None:
        self._database = database
        self._service = service
        service.work |= {what.name: what for what in (_MERGING, _CHECKPOINT)}
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
            except Exception:  # noqa: BLE001 - without this thread nothing would be merged or checkpointed any more
                _log.exception("maintenance will try again")


def maintain(database: Database, service: Service, now: datetime) -> None:
    """Merge what is closed at `now`; checkpoint when the log has grown, also where the merging fails."""
    begun = time.perf_counter()
    try:
        _recorded(service, _MERGING, now, lambda: _merged(database, service, now))
    finally:
        if database.wal_bytes > CHECKPOINT_BYTES:
            then = now + timedelta(seconds=time.perf_counter() - begun)
            _recorded(service, _CHECKPOINT, then, lambda: _checkpointed(service))


def _merged(database: Database, service: Service, now: datetime) -> tuple[bool, str]:
    saved = compact(database, service.unmerged, now)
    if saved:
        _log.info("merged rollups: %d rows fewer", saved)
    return True, f"{saved:,} rows fewer"


def _checkpointed(service: Service) -> tuple[bool, str]:
    return (True, "the log is in the file") if service.checkpoint() else (False, "too little free disk space")


def _recorded(service: Service, what: Work, now: datetime, work: Callable[[], tuple[bool, str]]) -> None:
    """Do it, and keep how it went for whoever asks how the store is."""
    begun, ok, result = time.perf_counter(), False, "failed"
    before = service.work.get(what.name, what)
    service.work[what.name] = msgspec.structs.replace(before, running_since=now)
    try:
        ok, result = work()
    except Exception as error:
        result = str(error) or type(error).__name__
        raise
    finally:
        service.work[what.name] = msgspec.structs.replace(
            before,
            started_at=now,
            duration_ms=(time.perf_counter() - begun) * 1000,
            ok=ok,
            result=result,
            runs=before.runs + 1,
            failures=before.failures + (not ok),
        )
