"""Brings session logs into the ledger: each call once, whatever was imported before and whatever the proxy saw itself.

1. Every line of every file is read; of each call the most complete word is kept, on disk.
2. A call whose last line is younger than SETTLED waits for the next import: it may still be written, and its row of
   the proxy may not have arrived.
3. A call that went through the proxy has its row already, with the same request id, and is left out.
4. What is known from an earlier import is left out too, by its id; where the logs now tell more of it (larger counts,
   an end that was missing), its row is corrected, and the rollups with it.
5. The rest is stored. Should the import be cut off, the next one goes on where it stopped.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import uuid_utils

from data.corrections import correcting
from data.imports.claude_code import Call
from data.imports.log_files import LogFile
from data.imports.outcome import NOTHING, Imported
from data.imports.reading import read_logs
from data.imports.rows import Rows
from data.imports.scratch import Kept, Scratch
from data.imports.usage import answer_of
from data.model import CostStatus, LedgerRecord
from data.queries import imports as ledger
from data.records import record_table
from data.store import Store

#: A request of Claude Code is given up after ten minutes, and the proxy's rows take seconds to the store.
SETTLED = timedelta(minutes=15)
#: Calls that are looked up and stored in one go.
BATCH_CALLS = 5_000
_AROUND = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_CORRECTED = (
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "tool_units",
    "cost_usd",
    "cost_status",
    "cost_note",
    "price_source",
    "stop_reason",
    "usage",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Calls that ended at or after `since` (aware). A dry run stores nothing, and says what would be stored."""

    since: datetime = _EPOCH
    dry_run: bool = False


def import_logs(
    store: Store,
    files: Sequence[LogFile],
    rows: Rows,
    wanted: Wanted,
    *,
    now: datetime,
    progress: Callable[[int], object] = lambda _: None,
) -> Imported:
    """Import these files; `progress` is told how many of their bytes have been read.

    Raises `ImportFailed` where the disk has no room for the calls, and what the store raises.
    """
    done = Imported()
    with Scratch() as scratch:
        read_logs(files, scratch, wanted.since, done, progress)
        _Loading(store, rows, wanted, done).load(_due(scratch.calls(), wanted.since, now - SETTLED, done))
    return done


def _due(calls: Iterator[Kept], since: datetime, settled: datetime, done: Imported) -> Iterator[Call]:
    for call, seen_at in calls:
        done.calls += 1
        if _time(call.ended_at) < since:
            done.early += 1
        elif _time(seen_at) > settled:
            done.waiting += 1
        else:
            yield call


class _Loading:
    """The second half of an import: calls, in the order of time, on their way into the store."""

    def __init__(self, store: Store, rows: Rows, wanted: Wanted, done: Imported) -> None:
        self._store = store
        self._rows = rows
        self._dry_run = wanted.dry_run
        self._done = done
        # each import has a spool of its own: with a shared one, two at a time would take each other's numbers
        self._spool_id = f"import-claude-code-{uuid_utils.uuid7()}"
        self._sent = 0

    def load(self, calls: Iterator[Call]) -> None:
        """Store them, batch by batch."""
        while batch := list(islice(calls, BATCH_CALLS)):
            start, end = _time(batch[0].ended_at) - _AROUND, _time(batch[-1].ended_at) + _AROUND
            outside = self._outside(batch, start, end)
            records = [record for call in outside for record in self._rows.of(call)]
            known = self._known(records, start, end)
            self._add([record for record in records if record.id not in known])
            self._correct([(r, known[r.id]) for r in records if r.id in known and says_more(r, known[r.id])])

    def _outside(self, calls: Sequence[Call], start: datetime, end: datetime) -> list[Call]:
        """The calls that did not go through the proxy: by the provider's id, else by session and counts."""
        ids = [call.request_id for call in calls if call.request_id]
        sessions = sorted({call.session for call in calls if not call.request_id and call.session})
        live_ids = ledger.live_request_ids(self._store, ids, start, end) if ids else set()
        live_counts = ledger.live_counts(self._store, sessions, start, end) if sessions else set()
        outside = [c for c in calls if not (c.request_id in live_ids if c.request_id else _counts(c) in live_counts)]
        self._done.live += len(calls) - len(outside)
        return outside

    def _known(self, records: Sequence[LedgerRecord], start: datetime, end: datetime) -> dict[str, dict[str, Any]]:
        if not records:
            return {}
        found = ledger.stored(self._store, [record.id for record in records], start, end)
        self._done.known += found.height
        return {row["id"]: row for row in found.iter_rows(named=True)}

    def _add(self, records: Sequence[LedgerRecord]) -> None:
        if records and not self._dry_run:
            first, self._sent = self._sent + 1, self._sent + len(records)
            self._store.put(record_table(records), spool_id=self._spool_id, first=first, last=self._sent)
        for record in records:
            sums = self._done.models[record.model]
            sums.rows += 1
            sums.unpriced += record.cost_status is CostStatus.UNPRICED
            sums.cost_usd += record.cost_usd or NOTHING
            self._done.endless += not record.stop_reason
        self._done.added += len(records)

    def _correct(self, grown: Sequence[tuple[LedgerRecord, Mapping[str, Any]]]) -> None:
        if grown and not self._dry_run:
            self._store.transact(correcting([_correction(record, row) for record, row in grown]))
        for record, row in grown:
            more = (record.cost_usd or NOTHING) - (row["cost_usd"] or NOTHING)
            self._done.models[record.model].cost_usd += more
            self._done.endless += not record.stop_reason
        self._done.corrected += len(grown)


def says_more(record: LedgerRecord, row: Mapping[str, Any]) -> bool:
    """Whether the logs tell more of a call now than its stored row (the columns of `ledger.stored`)."""
    if row["ended_at"] is None:
        return False  # the row was deleted since, or has another date
    tokens = record.uncached_input_tokens + record.cache_read_tokens
    tokens += record.cache_write_5m_tokens + record.cache_write_1h_tokens + record.output_tokens
    now = (tokens, record.tool_units, bool(record.stop_reason))
    return now > (row["input_tokens"] + row["output_tokens"], row["tool_units"], bool(row["stop_reason"]))


def _correction(record: LedgerRecord, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": record.id,
        "ended_at": row["ended_at"],
        "was_output_tokens": row["output_tokens"],
        "was_stop_reason": row["stop_reason"],
        **{name: getattr(record, name) for name in _CORRECTED},
    }


def _counts(call: Call) -> tuple[str, int, int]:
    _, tokens = answer_of(call.said(), call.model)
    return call.session, tokens.output, tokens.input


def _time(microseconds: int) -> datetime:
    return _EPOCH + microseconds * _US
