"""What is held for batches: from when they are made until their results come, however many proxies begin and end.

A hold is taken over from the slice of the proxy that made the batch, and what a result costs goes from the hold to the
slice of the proxy that reads it: each in one transaction, so that nothing is held by neither. What is drawn is never
more than what is left, so a result that is drawn twice makes room for nothing that may still be spent.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from data.counters.file import CounterFile, Execute
from data.counters.rows import Batch, BatchKey, Part
from data.counters.slices import ADD_SLICE, counter_of

#: What a batch may come to count in each counter of a budget, by its `account`.
ShareOf = Callable[[str], Iterable[tuple[str, int]]]
_ADD: Final = """
INSERT INTO holds (budget, value, provider, batch, nano) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (budget, value, provider, batch) DO UPDATE SET nano = nano + excluded.nano"""
_OF_BATCH: Final = "provider = ? AND batch = ?"


def begin(
    file: CounterFile,
    spool: str,
    batch: Batch,
    parts: Sequence[Part],
    generation: int,
    *,
    instead_of: BatchKey | None = None,
) -> bool:
    """Hold `parts` for a batch out of a spool's slices; False, and nothing is held, where it has its hold already.

    What was held by the name of `instead_of` is the batch's from now on. Raises CountersOutdated, CountersError.
    """
    with file.transaction(generation) as execute:
        sql = "INSERT INTO batches (provider, batch, made, account) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
        made = execute(sql, (*batch.key, batch.made_us, batch.account)).rowcount > 0
        if made and instead_of is not None:
            execute(f"UPDATE holds SET batch = ? WHERE {_OF_BATCH}", (batch.key.batch, *instead_of))
        if instead_of is not None:
            _end(execute, instead_of)
        if not made:
            return False
        for part in parts:
            value = counter_of(execute, part.budget, part.value)
            execute(ADD_SLICE, (part.budget, value, spool, -part.nano))
            execute(_ADD, (part.budget, value, *batch.key, part.nano))
    return True


def draw(file: CounterFile, spool: str, batch: BatchKey, parts: Sequence[Part], generation: int) -> list[int]:
    """Move `parts` of a batch's hold to a spool's slices, as far as there is so much left; how much that is of each.

    Raises as `begin` does.
    """
    with file.transaction(generation) as execute:
        drawn = list[int]()
        for part in parts:
            value = counter_of(execute, part.budget, part.value)
            place = (part.budget, value, *batch)
            found = execute(f"SELECT nano FROM holds WHERE budget = ? AND value = ? AND {_OF_BATCH}", place).fetchone()
            nano = min(part.nano, found[0]) if found is not None else 0
            if nano:
                execute(_ADD, (*place, -nano))
                execute(ADD_SLICE, (part.budget, value, spool, nano))
            drawn.append(nano)
    return drawn


def end(file: CounterFile, batch: BatchKey) -> None:
    """Let go of what is left of a batch's hold. Raises CountersError, as all below."""
    with file.transaction() as execute:
        _end(execute, batch)


def end_older(file: CounterFile, before_us: int) -> list[BatchKey]:
    """Let go of the holds of batches that were made earlier; which these are."""
    with file.transaction() as execute:
        found = execute("SELECT provider, batch FROM batches WHERE made < ?", (before_us,)).fetchall()
        execute("DELETE FROM batches WHERE made < ?", (before_us,))
        execute(
            "DELETE FROM holds WHERE NOT EXISTS (SELECT 1 FROM batches b WHERE b.provider = holds.provider "
            "AND b.batch = holds.batch)"
        )
    return [BatchKey(*row) for row in found]


def begin_for(execute: Execute, budget: int, share_of: ShareOf) -> None:
    """Hold for a budget that is new what batches may still cost that were made before, inside a transaction."""
    for provider, batch, account in execute("SELECT provider, batch, account FROM batches").fetchall():
        for value, nano in share_of(account):
            execute(_ADD, (budget, counter_of(execute, budget, value), provider, batch, nano))


def account_of(file: CounterFile, batch: BatchKey) -> str | None:
    """On whose account a batch was made; None where nothing was held for it, or no more."""
    with file.transaction() as execute:
        found = execute(f"SELECT account FROM batches WHERE {_OF_BATCH}", batch).fetchone()
    return None if found is None else str(found[0])


def _end(execute: Execute, batch: BatchKey) -> None:
    execute(f"DELETE FROM holds WHERE {_OF_BATCH}", batch)
    execute(f"DELETE FROM batches WHERE {_OF_BATCH}", batch)
