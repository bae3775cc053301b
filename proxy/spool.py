"""The proxy's own ledger on disk: what is in it outlives the proxy and waits until the store has it.

A start or an end is written (one `write`) before the call returns, so a killed process loses neither; a thread
makes them durable in groups. Only durable records are given out for shipping: after a power cut no sequence
number that the store has seen is given away again.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Self

import msgspec

from data.model import LedgerRecord, RequestStart
from proxy.group_sync import GroupSync
from proxy.recovery import Recovered, decoded_records, recover
from proxy.segment_log import SegmentLog, Write, remove
from proxy.segment_reader import SegmentReader
from proxy.segments import Kind, Segment, encoded
from proxy.spool_errors import SpoolBusy, SpoolFull
from proxy.spool_folder import identity, lock_folder
from proxy.spool_tail import Tail, Written, frame, joined

__all__ = ["Spool", "SpoolBacklog", "SpoolBusy", "SpoolFull"]

SEGMENT_BYTES: Final = 16 * 1024 * 1024
#: Records that leave in one write.
_AT_ONCE: Final = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpoolBacklog:
    """What the store does not have yet. `oldest_us`: `ended_at` of the first such record or a bit less, or None."""

    records: int
    bytes: int
    oldest_us: int | None
    in_flight: int


class Spool:
    """One folder's spool, open in this process alone. Every method may be called from any thread."""

    def __init__(self, folder: Path, lock: int, spool_id: str, recovered: Recovered, log: SegmentLog) -> None:
        self.spool_id = spool_id
        self._folder = folder
        self._folder_lock = lock
        self._log = log
        self._lock = threading.Lock()
        self._next = recovered.next_sequence
        self._written = self._durable = recovered.next_sequence - 1
        self._shipped = recovered.shipped
        self._floor: Callable[[], int] | None = None
        self._flights: dict[str, Segment] = {}
        self._tail = Tail()
        self._waiting: deque[tuple[int, LedgerRecord]] = deque()  # ended, and not written yet
        self._reader = SegmentReader()
        self._trouble = ""
        self._told = False  # whether the log says that records wait
        self._syncing = GroupSync(self._sync)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        now_us: int,
        estimate: Callable[[RequestStart], LedgerRecord],
        segment_bytes: int = SEGMENT_BYTES,
        write: Write = os.write,
    ) -> Self:
        """Open the spool, repair it, and end what its last process left unfinished.

        `estimate` makes the row of such a request; it ends at `now_us`. Raises SpoolBusy, OSError.
        """
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(folder)
        try:
            recovered = recover(folder)
            spool_id = identity(folder, fresh=not recovered.readable)
            log = SegmentLog(
                folder,
                recovered.segments,
                recovered.newest + 1,
                recovered.next_sequence,
                max_bytes=segment_bytes,
                write=write,
            )
        except BaseException:
            os.close(lock)
            raise
        spool = cls(folder, lock, spool_id, recovered, log)
        try:
            for start in recovered.starts.values():
                spool.end(msgspec.structs.replace(estimate(start), ended_at=max(now_us, start.started_at)))
            spool._sync()
        except BaseException:
            spool._release()
            raise
        spool._syncing.start()
        return spool

    @property
    def folder(self) -> Path:
        """Where it is; this process alone holds the folder."""
        return self._folder

    @property
    def next_sequence(self) -> int:
        """The number the next record will get."""
        return self._next

    @property
    def written(self) -> int:
        """The last record that the file has."""
        return self._written

    def keep_behind(self, floor: Callable[[], int]) -> None:
        """Keep segments with records behind `floor()`, though the store may have them; it is asked in any thread."""
        self._floor = floor

    def start(self, start: RequestStart) -> None:
        """Write down that a request is sent on. Raises SpoolFull."""
        with self._lock:
            try:
                segment = self._write_waiting(start) or self._append(frame(Kind.START, 0, start))
            except OSError as error:
                self._trouble = str(error)
                raise SpoolFull(f"the spool in {self._folder} takes no more: {error}") from error
            segment.in_flight += 1
            self._flights[start.id] = segment
        self._syncing.wake()

    def end(self, record: LedgerRecord) -> int:
        """Write down how a request ended; return its sequence number.

        Never raises for a full disk: the record is kept in memory and written as soon as there is room.
        """
        sequence = self.take(record)
        self.write()
        return sequence

    def take(self, record: LedgerRecord) -> int:
        """Take note of how a request ended, to be written with the next start or by `write`; return its number."""
        with self._lock:
            sequence = self._next
            self._next += 1
            self._waiting.append((sequence, record))
        return sequence

    def write(self) -> None:
        """Write what was taken. Never raises for a full disk, see `end`."""
        with self._lock:
            try:
                self._write_waiting()
                self._told = False
            except OSError as error:
                self._trouble = str(error)
                if not self._told:
                    self._told = True
                    _log.error("spool: records wait in memory, the disk takes no more: %s", error)
        self._syncing.wake()

    def read(self, after: int, limit: int) -> tuple[int, list[LedgerRecord]]:
        """Like `read_encoded`, decoded."""
        first, records = self.read_encoded(after, limit)
        return first, decoded_records(records)

    def read_encoded(self, after: int, limit: int) -> tuple[int, list[bytes]]:
        """Durable records behind `after`, at most `limit`, without a gap: the first one's number, and they.

        The list is empty where there are none. The number is `after + 1` unless damage has eaten records.
        """
        with self._lock:
            count = min(limit, self._durable - after)
            if count <= 0:
                return after + 1, []
            if (records := self._tail.records(after, count)) is not None:
                return after + 1, records
            segments, durable = list(self._log.segments), self._durable
        return self._reader.read(segments, after, limit, durable)

    def acknowledged(self, offset: int) -> None:
        """Note that the store has everything up to `offset`, and delete the segments that are done with."""
        with self._lock:
            if self._syncing.stopping:  # the folder may have another owner by now
                return
            if offset > self._written:
                _log.error("spool: the store has %d records, but only %d are known here", offset, self._written)
            if offset <= self._shipped:
                return
            self._shipped = min(offset, self._written)
            self._tail.drop(self._shipped)
            try:
                self._append(encoded(Kind.SHIPPED, self._shipped))
            except OSError as error:
                _log.warning("spool: the offset could not be written: %s", error)
            done = self._log.detach_shipped(min(self._shipped, self._floor()) if self._floor else self._shipped)
        self._syncing.wake()
        remove(done)

    def backlog(self) -> SpoolBacklog:
        """What the store does not have yet."""
        with self._lock:
            unshipped = [segment for segment in self._log.segments if segment.last > self._shipped]
            return SpoolBacklog(
                records=self._next - 1 - self._shipped,
                bytes=sum(segment.size for segment in unshipped),
                oldest_us=self._oldest_us(unshipped),
                in_flight=len(self._flights),
            )

    @property
    def trouble(self) -> str:
        """Why the disk takes nothing at the moment; '' while all is well."""
        return self._trouble

    @property
    def shipped(self) -> int:
        """What the store had when it was last heard of."""
        return self._shipped

    def close(self) -> None:
        """Make everything durable and give the folder free."""
        self._syncing.stop()
        self._sync()
        if self._waiting:
            _log.error("spool: %d records were never written, the disk takes no more", len(self._waiting))
        self._release()

    def _release(self) -> None:
        self._log.close()
        os.close(self._folder_lock)

    def _write_waiting(self, start: RequestStart | None = None) -> Segment | None:
        """Write what waits, with `start` behind it where one write takes both; return where that one went, or None."""
        while self._waiting:
            group = [Written.of(*waiting) for waiting in islice(self._waiting, _AT_ONCE)]
            behind = start if len(group) == len(self._waiting) else None
            try:
                segment = self._append(joined(group, behind))
            except OSError:
                if len(group) == 1 and behind is None:
                    raise
                group, behind = group[:1], None  # a disk without room for all may have some for one
                segment = self._append(joined(group, None))
            for written in group:
                _, record = self._waiting.popleft()
                self._wrote(written, record.id, segment)
            if behind is not None:
                return segment
        return None

    def _wrote(self, written: Written, record_id: str, segment: Segment) -> None:
        segment.ended(written.sequence, written.ended_us)
        self._written = written.sequence
        self._tail.add(written)
        if (started := self._flights.pop(record_id, None)) is not None:
            started.in_flight -= 1

    def _append(self, frames: bytes) -> Segment:
        return self._log.append(frames, next_sequence=self._written + 1)

    def _oldest_us(self, unshipped: list[Segment]) -> int | None:
        if (ended_us := self._tail.ended_us(self._shipped + 1)) is not None:
            return ended_us
        if unshipped:
            return unshipped[0].first_us
        return self._waiting[0][1].ended_at if self._waiting else None

    def _sync(self) -> bool:
        """Make durable what is written; False where something is left to try again."""
        with self._lock:
            with suppress(OSError):
                self._write_waiting()
            written, waiting, work = self._written, bool(self._waiting), self._log.unsynced()
        try:
            work.sync()
        except OSError as error:
            _log.exception("spool: the disk does not take what was written")
            with self._lock:
                self._trouble = str(error)
                self._log.not_synced(work)
            return False
        with self._lock:
            self._durable = written
            self._trouble = self._trouble if waiting else ""
            self._log.synced(work)
        return not waiting
