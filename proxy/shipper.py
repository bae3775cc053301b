"""Carries the spool's records to the store, in batches, exactly once, for as long as it takes."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Final, Protocol

import pyarrow as pa

from data.encoded_records import encoded_table
from data.errors import StoreError
from proxy.spool import Spool

BATCH_RECORDS: Final = 5000
INTERVAL_S: Final = 0.5  # a put costs the store some 35 ms of CPU, however small it is
FIRST_BACKOFF_S: Final = 0.1
LAST_BACKOFF_S: Final = 2.0
_LOOKS: Final = 5  # how often in an interval the shipper looks whether a whole batch waits
_log = logging.getLogger(__name__)


class RecordStore(Protocol):
    """The part of `data.store.Store` that takes records."""

    def put(self, rows: pa.Table, *, spool_id: str, first: int, last: int) -> int:
        """Store rows once; return the spool's offset that is stored now."""
        ...

    def close(self) -> None:
        """Let go of the store."""
        ...


class Shipper:
    """Ships one spool.

    `connect` gives a store of the shipper's own, or raises StoreError; it is asked again after every failure.
    """

    def __init__(
        self,
        spool: Spool,
        connect: Callable[[], RecordStore],
        *,
        interval_s: float = INTERVAL_S,
        batch_records: int = BATCH_RECORDS,
    ) -> None:
        self.last_error = ""  # '' once a batch has arrived again
        self.last_shipped_at: datetime | None = None
        self._spool = spool
        self._connect = connect
        self._store: RecordStore | None = None
        self._interval_s = interval_s
        self._batch_records = batch_records
        self._backoff_s = 0.0
        self._one_at_a_time = asyncio.Lock()

    @property
    def offset(self) -> int:
        """The last sequence number that the store is known to have."""
        return self._spool.shipped

    async def run(self) -> None:
        """Ship what comes, until cancelled."""
        while True:
            shipped = await self._ship()
            if self._backoff_s:
                await asyncio.sleep(self._backoff_s)
            elif not (shipped and self._batch_waits()):
                await self._pause()

    async def flush(self, deadline_s: float) -> bool:
        """Ship everything there is; False where `deadline_s` seconds were not enough."""
        end = monotonic() + deadline_s
        while self._spool.backlog().records:
            try:
                shipped = await asyncio.wait_for(self._ship(), end - monotonic())
            except TimeoutError:
                return False
            if not shipped:
                # what was written last is durable in a moment; a store that is down may come back
                await asyncio.sleep(max(min(self._backoff_s or self._interval_s / _LOOKS, end - monotonic()), 0))
        return True

    def close(self) -> None:
        """Let go of the store; a later batch would connect again."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    async def _pause(self) -> None:
        for _ in range(_LOOKS):
            await asyncio.sleep(self._interval_s / _LOOKS)
            if self._batch_waits():
                return

    def _batch_waits(self) -> bool:
        return self._spool.backlog().records >= self._batch_records

    async def _ship(self) -> int:
        """One batch; the number of its records, 0 where none was there or it did not arrive."""
        async with self._one_at_a_time:
            try:
                shipped = await asyncio.to_thread(self._ship_batch)
            except Exception as error:  # noqa: BLE001 - whatever is wrong, records must not stay behind for ever
                self._failed(error)
                return 0
            self._backoff_s, self.last_error = 0.0, ""
            return shipped

    def _ship_batch(self) -> int:
        if not self._spool.backlog().records:
            return 0
        # first of all: while no store answers, nothing need be read from the disk again and again
        self._store = self._store or self._connect()
        first, records = self._spool.read_encoded(self._spool.shipped, self._batch_records)
        if records:
            self._put(self._store, first, records)
        return len(records)

    def _put(self, store: RecordStore, first: int, records: Sequence[bytes]) -> None:
        last = first + len(records) - 1
        offset = store.put(encoded_table(records), spool_id=self._spool.spool_id, first=first, last=last)
        if offset < last:
            raise StoreError(f"the store says it has record {offset} of a batch up to {last}")
        self._spool.acknowledged(offset)
        self.last_shipped_at = datetime.now(UTC)

    def _failed(self, error: Exception) -> None:
        if not self.last_error:
            _log.warning("the store takes no records, they wait in the spool: %s", error)
        self.last_error = f"{type(error).__name__}: {error}"
        self.close()
        self._backoff_s = min(self._backoff_s * 2 or FIRST_BACKOFF_S, LAST_BACKOFF_S)
