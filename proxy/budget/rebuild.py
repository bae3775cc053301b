"""How a budget begins to be counted here: with what the ledger knows of its period, not with nothing.

The store gives one view of the ledger: sums, and up to which record of each spool they go. What this home's spools hold
beyond it is added, up to where each is folded at that moment; what the store has already and the spools have not
folded yet is taken away, for the fold will bring it. So every record counts exactly once, though calls go on.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from data.counters import books
from data.counters.file import CounterFile
from data.queries import budgets as queries
from data.queries.budgets import Reader, Spent
from proxy.budget.batch_account import BatchAccount
from proxy.budget.charging import History
from proxy.budget.plan import Plan
from proxy.budget.spool_records import SpoolFolder, folders

#: The spools go on while they are read; each attempt reads only what came since, so few are needed.
_ATTEMPTS: Final = 20


def count_from_ledger(file: CounterFile, plan: Plan, store: Reader, spools: Path, now_us: int) -> bool:
    """Begin to count a budget; False where the spools moved too fast, or somebody else has done it.

    Raises CountersError, StoreError.
    """
    ledger = queries.spent(store, plan.budget.scope, plan.schedule, now_us)
    history = History(plan, plan.schedule.counts(now_us).start_us)
    history.add_rows(ledger.rows)
    found = {folder.spool_id: folder for folder in folders(spools)}
    reached: dict[str, int] = {}
    for _ in range(_ATTEMPTS):
        _register(file, found)
        folded = books.folded(file)
        for name, folder in found.items():
            _take_in(history, folder, reached.get(name), folded[name], ledger)
            reached[name] = folded[name]
        key = (plan.id, plan.budget.shape)
        if books.install(file, key, history.all(), folded, lambda account: _shares(plan, account)) is not None:
            return True
    return False


def _shares(plan: Plan, account: str) -> Iterable[tuple[str, int]]:
    """What the budget holds for a batch that was made before; what was read of it already is not taken off."""
    made = BatchAccount.decode(account)
    return () if made is None else made.shares(plan.budget.scope)


def _register(file: CounterFile, spools: Mapping[str, SpoolFolder]) -> None:
    """Spools of proxies that ended before budgets were counted are folded to their end."""
    folded = books.folded(file)
    for name, folder in spools.items():
        if name not in folded:
            books.register(file, name, folder.last())


def _take_in(history: History, folder: SpoolFolder, reached: int | None, folded: int, ledger: Spent) -> None:
    """Bring the history from where it is with a spool to where the spool is folded."""
    at = ledger.offsets.get(folder.spool_id, 0) if reached is None else reached
    for _, record in folder.records(at, folded):
        history.add(record)
    for _, record in folder.records(folded, at):
        history.add(record, -1)
