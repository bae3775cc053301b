"""Slices of proxies that are gone: what they spent is folded, and the rest is there for others again.

A spool that no process has open belongs to a proxy that was killed. Its records are counted as that proxy would have
done; what its unfinished calls may have cost stays in its slice until the spool is opened again and ends them.
"""

import os
from pathlib import Path

from data.counters import books, slices
from data.counters.file import CounterFile
from data.counters.rows import Move
from proxy.budget.charging import of_records, of_starts
from proxy.budget.compiling import Compiled, compiled
from proxy.budget.plans import Plans
from proxy.budget.spool_records import SpoolFolder, folders
from proxy.spool_errors import SpoolBusy
from proxy.spool_folder import lock_folder


class Siblings:
    """The other proxies of a home."""

    def __init__(self, spools: Path, own: str) -> None:
        self._spools = spools
        self._own = own
        self._seen: dict[str, object] = {}  # what the spools were like that were swept

    def sweep(self, file: CounterFile, now_us: int) -> list[str]:
        """Fold what dead proxies left; the spools that were swept. Raises CountersError, OSError."""
        holders = books.holders(file) - {self._own}
        if not holders:
            return []
        found = {folder.spool_id: folder for folder in folders(self._spools)}
        known = books.known(file)
        plans = Plans(compiled(known, Compiled()).plans)
        lost = sorted(holders - found.keys())
        for name in lost:
            _give_up(file, name, plans, now_us)
        present = sorted(holders & found.keys())
        return [name for name in present if self._swept(file, found[name], plans, known.generation)] + lost

    def _swept(self, file: CounterFile, folder: SpoolFolder, plans: Plans, generation: int) -> bool:
        try:
            lock = lock_folder(folder.path)
        except SpoolBusy:
            self._seen.pop(folder.spool_id, None)
            return False
        try:
            looks = folder.looks()
            if self._seen.get(folder.spool_id) == looks:
                return False
            _settle(file, folder, plans, generation)
            self._seen[folder.spool_id] = looks
        finally:
            os.close(lock)
        return True


def _settle(file: CounterFile, folder: SpoolFolder, plans: Plans, generation: int) -> None:
    last = folder.last()
    folded = books.register(file, folder.spool_id, last)
    records = (record for _, record in folder.records(folded, last))
    kept = of_starts(plans, folder.unfinished())
    slices.settle(file, Move(folder.spool_id, folded, last), of_records(plans, records), kept, generation)


def _give_up(file: CounterFile, name: str, plans: Plans, now_us: int) -> None:
    """A spool whose folder is gone tells nothing any more: all that its proxy had taken counts as spent."""
    buckets = {plan.number: plan.schedule.bucket(now_us).start_us for plan in plans.all}
    slices.give_up(file, name, buckets.get)
