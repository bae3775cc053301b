"""Which budgets are counted, and up to which record of each spool."""

from collections.abc import Iterable, Mapping, Sequence

from data.counters.file import CounterFile, Execute
from data.counters.holds import ShareOf, begin_for
from data.counters.rows import Charge, Document, Known
from data.counters.slices import charge

_OF_BUDGETS = ("counters", "spent", "slices", "holds", "crossings")


def known(file: CounterFile) -> Known:
    """The documents and what is counted. Raises CountersError, as all functions here."""
    with file.transaction() as execute:
        (generation,) = execute("SELECT generation FROM state").fetchone()
        rows = execute("SELECT id, version, document, learned FROM documents ORDER BY id").fetchall()
        counted = execute("SELECT id, shape, number FROM budgets").fetchall()
    return Known(
        generation=generation,
        documents=tuple(Document(*row[:3]) for row in rows),
        learned={row[0]: row[3] for row in rows},
        counted={(key, shape): number for key, shape, number in counted},
    )


def learn(file: CounterFile, documents: Sequence[tuple[Document, str | None]], now_us: int) -> bool:
    """Replace the documents, each with the shape of what is to be counted for it, None for nothing.

    What is counted for none of them goes: it would miss what is spent from now on. False: nothing is new.
    """
    with file.transaction() as execute:
        rows = execute("SELECT id, version, document, learned FROM documents").fetchall()
        learned = {Document(*row[:3]): row[3] for row in rows}
        if learned.keys() == {document for document, _ in documents}:
            return False
        execute("DELETE FROM documents")
        for document, _ in documents:
            row = (*document, learned.get(document, now_us))
            execute("INSERT INTO documents (id, version, document, learned) VALUES (?, ?, ?, ?)", row)
        _forget(execute, {(document.id, shape) for document, shape in documents if shape is not None})
        execute("UPDATE state SET generation = generation + 1")
    return True


def register(file: CounterFile, spool: str, last: int) -> int:
    """Up to which record the spool is folded; it ends with record `last`."""
    with file.transaction() as execute:
        execute("INSERT INTO folded (spool, sequence) VALUES (?, ?) ON CONFLICT DO NOTHING", (spool, last))
        # after a power cut the spool may end before what was folded, and numbers its next records again
        execute("UPDATE folded SET sequence = min(sequence, ?) WHERE spool = ?", (last, spool))
        return int(execute("SELECT sequence FROM folded WHERE spool = ?", (spool,)).fetchone()[0])


def folded(file: CounterFile) -> dict[str, int]:
    """Up to which record each spool is folded."""
    with file.transaction() as execute:
        return dict(execute("SELECT spool, sequence FROM folded").fetchall())


def holders(file: CounterFile) -> set[str]:
    """The spools that have slices."""
    with file.transaction() as execute:
        return {spool for (spool,) in execute("SELECT DISTINCT spool FROM slices").fetchall()}


def install(
    file: CounterFile,
    key: tuple[str, str],
    charges: Iterable[Charge],
    folded: Mapping[str, int],
    share_of: ShareOf = lambda _account: (),
) -> int | None:
    """Begin to count a budget (id, shape), with what was spent up to `folded` of each spool; its number.

    `share_of` says what it holds for each batch that is out.
    The charges' own numbers do not matter. None, and nothing is done, where a spool is folded further by now, or the
    budget is no more or counted already.
    """
    with file.transaction() as execute:
        known = execute("SELECT 1 FROM documents WHERE id = ?", (key[0],)).fetchone()
        counted = execute("SELECT 1 FROM budgets WHERE id = ? AND shape = ?", key).fetchone()
        if not known or counted or dict(execute("SELECT spool, sequence FROM folded").fetchall()) != folded:
            return None
        made = execute("INSERT INTO budgets (id, shape, counters) VALUES (?, ?, 0) RETURNING number", key)
        number = int(made.fetchone()[0])
        charge(execute, (each._replace(budget=number) for each in charges))
        begin_for(execute, number, share_of)
        execute("UPDATE state SET generation = generation + 1")
    return number


def prune(file: CounterFile, budget: int, before: int) -> None:
    """Drop buckets that start earlier, and counters in which nothing is left."""
    with file.transaction() as execute:
        execute("DELETE FROM spent WHERE budget = ? AND bucket < ?", (budget, before))
        execute("DELETE FROM slices WHERE budget = ? AND nano = 0", (budget,))
        execute("DELETE FROM holds WHERE budget = ? AND nano = 0", (budget,))
        execute(
            "DELETE FROM counters WHERE budget = ?1 "
            "AND NOT EXISTS (SELECT 1 FROM spent s WHERE s.budget = ?1 AND s.value = counters.value) "
            "AND NOT EXISTS (SELECT 1 FROM slices l WHERE l.budget = ?1 AND l.value = counters.value) "
            "AND NOT EXISTS (SELECT 1 FROM holds h WHERE h.budget = ?1 AND h.value = counters.value)",
            (budget,),
        )
        execute("DELETE FROM crossings WHERE budget = ? AND at < ?", (budget, before))
        execute(
            "UPDATE budgets SET counters = (SELECT count(*) FROM counters WHERE budget = ?1) WHERE number = ?1",
            (budget,),
        )


def _forget(execute: Execute, wanted: set[tuple[str, str]]) -> None:
    for number, key, shape in execute("SELECT number, id, shape FROM budgets").fetchall():
        if (key, shape) not in wanted:
            execute("DELETE FROM budgets WHERE number = ?", (number,))
            for table in _OF_BUDGETS:
                execute(f"DELETE FROM {table} WHERE budget = ?", (number,))
