"""Money taken, spent and given back: every change of `spent` and `slices`."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from data.budget_periods import Span
from data.counters.file import CounterFile, Execute
from data.counters.rows import Charge, Fold, Given, Move, Standing, Want
from data.errors import CountersConflict

#: The counter of all values that come after a budget has its greatest number of counters.
OTHERS: Final = "*"
MAX_COUNTERS: Final = 10_000
#: A slice is at least this part of what is left, so that a proxy asks rarely.
SHARE: Final = 4
#: Where nothing is left of a soft budget, slices are this part of its amount.
_SOFT_SHARE: Final = 16

#: A counter's (spent, leased, of which for batches), as `Standing`.
_STANDING: Final = """
SELECT spent, sliced + batches, batches FROM (SELECT
    (SELECT coalesce(sum(nano), 0) FROM spent
        WHERE budget = ?1 AND value = ?2 AND bucket >= ?3 AND bucket < ?4) AS spent,
    (SELECT coalesce(sum(nano), 0) FROM slices WHERE budget = ?1 AND value = ?2) AS sliced,
    (SELECT coalesce(sum(nano), 0) FROM holds WHERE budget = ?1 AND value = ?2) AS batches)"""
_ADD_SPENT: Final = """
INSERT INTO spent (budget, value, bucket, nano) VALUES (?, ?, ?, ?)
ON CONFLICT (budget, value, bucket) DO UPDATE SET nano = nano + excluded.nano"""
ADD_SLICE: Final = """
INSERT INTO slices (budget, value, spool, nano) VALUES (?, ?, ?, ?)
ON CONFLICT (budget, value, spool) DO UPDATE SET nano = nano + excluded.nano"""


def lease(file: CounterFile, spool: str, wants: Sequence[Want], generation: int) -> list[Given]:
    """Take slices: all that is wanted, or nothing; what a counter without room had free goes back to it.

    Raises CountersOutdated, CountersError.
    """
    with file.transaction(generation) as execute:
        values = [counter_of(execute, want.budget, want.value) for want in wants]
        found = [_looked_at(execute, want, value) for want, value in zip(wants, values, strict=True)]
        all_fit = all(given.fits for given in found)
        taken = [_taken(want, given, all_fit=all_fit) for want, given in zip(wants, found, strict=True)]
        for want, value, given in zip(wants, values, taken, strict=True):
            _change_slice(execute, spool, want.budget, value, given.free - want.back)
    return taken


def fold(file: CounterFile, move: Move, folds: Sequence[Fold], generation: int) -> list[Standing]:
    """Move what a spool's records cost into `spent`; how each counter stands then.

    Raises CountersOutdated, CountersError, and CountersConflict where the spool is not folded up to `move.before`.
    """
    with file.transaction(generation) as execute:
        _move(execute, move)
        values = [counter_of(execute, fold.budget, fold.value) for fold in folds]
        for fold, value in zip(folds, values, strict=True):
            for bucket, nano in fold.charges:
                execute(_ADD_SPENT, (fold.budget, value, bucket, nano))
            _change_slice(execute, move.spool, fold.budget, value, fold.change)
        return [standing(execute, fold.budget, value, fold.counts) for fold, value in zip(folds, values, strict=True)]


def settle(file: CounterFile, move: Move, charges: Iterable[Charge], keep: Iterable[Charge], generation: int) -> None:
    """Fold a spool whose proxy is gone, and leave of its slices what `keep` says (buckets do not matter there).

    Raises as `fold` does.
    """
    with file.transaction(generation) as execute:
        _move(execute, move)
        # a value's counter is looked for while the slices that keep it in its place are there
        charged = [(counter_of(execute, each.budget, each.value), each) for each in charges]
        kept = [(counter_of(execute, each.budget, each.value), each) for each in keep]
        execute("DELETE FROM slices WHERE spool = ?", (move.spool,))
        for value, each in charged:
            execute(_ADD_SPENT, (each.budget, value, each.bucket, each.nano))
        for value, each in kept:
            execute(ADD_SLICE, (each.budget, value, move.spool, each.nano))


def give_up(file: CounterFile, spool: str, bucket_of: Callable[[int], int | None]) -> None:
    """Count all that a spool has taken as spent: what it was spent on can be read nowhere any more.

    `bucket_of` gives a budget's present bucket, None for a budget that is no more. Raises CountersError.
    """
    with file.transaction() as execute:
        slices = execute("SELECT budget, value, nano FROM slices WHERE spool = ?", (spool,)).fetchall()
        for budget, value, nano in slices:
            if (bucket := bucket_of(budget)) is not None:
                execute(_ADD_SPENT, (budget, value, bucket, nano))
        execute("DELETE FROM slices WHERE spool = ?", (spool,))
        execute("DELETE FROM folded WHERE spool = ?", (spool,))


def charge(execute: Execute, charges: Iterable[Charge]) -> None:
    """Add to `spent`, inside a transaction."""
    for each in charges:
        value = counter_of(execute, each.budget, each.value)
        execute(_ADD_SPENT, (each.budget, value, each.bucket, each.nano))


def counter_of(execute: Execute, budget: int, value: str) -> str:
    """The counter of a value: its own, made if need be, or the shared one where there are too many.

    Once the shared one has something in it, it takes every new value, so that none has two at a time.
    """
    if execute("SELECT 1 FROM counters WHERE budget = ? AND value = ?", (budget, value)).fetchone():
        return value
    counter = OTHERS if is_full(execute, budget) else value
    made = execute("INSERT INTO counters (budget, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (budget, counter))
    if made.rowcount > 0:
        execute("UPDATE budgets SET counters = counters + 1 WHERE number = ?", (budget,))
    return counter


def standing(execute: Execute, budget: int, value: str, counts: Span) -> Standing:
    """How a counter stands, inside a transaction."""
    return Standing(*execute(_STANDING, (budget, value, counts.start_us, counts.end_us)).fetchone())


def is_full(execute: Execute, budget: int) -> bool:
    """Whether new values share a counter."""
    if execute("SELECT 1 FROM counters WHERE budget = ? AND value = ?", (budget, OTHERS)).fetchone():
        return True
    row = execute("SELECT counters FROM budgets WHERE number = ?", (budget,)).fetchone()
    return row is not None and row[0] >= MAX_COUNTERS


def _looked_at(execute: Execute, want: Want, value: str) -> Given:
    spent, leased, batches = standing(execute, want.budget, value, want.counts)
    return Given(want.back, spent, leased, batches, not want.hard or _room(want, spent, leased) >= want.need)


def _room(want: Want, spent: int, leased: int) -> int:
    return want.limit - spent - (leased - want.back)


def _taken(want: Want, given: Given, *, all_fit: bool) -> Given:
    if all_fit:
        free = _chunk(want, _room(want, given.spent, given.leased))
        return given._replace(free=free, leased=given.leased + free - want.back)
    free = given.free if given.fits else 0
    return given._replace(free=free, leased=given.leased + free - want.back)


def _chunk(want: Want, room: int) -> int:
    least = 0 if want.hard else want.limit // _SOFT_SHARE
    return max(want.need, room // SHARE, least)


def _change_slice(execute: Execute, spool: str, budget: int, value: str, change: int) -> None:
    if change:
        execute(ADD_SLICE, (budget, value, spool, change))


def _move(execute: Execute, move: Move) -> None:
    sql = "UPDATE folded SET sequence = ? WHERE spool = ? AND sequence = ?"
    if execute(sql, (move.after, move.spool, move.before)).rowcount != 1:
        raise CountersConflict(f"the spool {move.spool} is not folded up to record {move.before}")
