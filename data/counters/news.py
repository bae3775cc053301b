"""Which thresholds budgets have reached, for a program that only reads the counters' file."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from data.errors import CountersError

_BUSY_S = 1.0
_SQL = """
    SELECT documents.document, documents.id, crossings.value, crossings.name, crossings.at, crossings.used,
           crossings.amount
    FROM crossings JOIN budgets ON budgets.number = crossings.budget JOIN documents ON documents.id = budgets.id
    WHERE crossings.at >= ? ORDER BY crossings.at"""


@dataclass(frozen=True, slots=True)
class Reached:
    """A threshold (`80%`, or `forecast`) that a budget reached: `used` of `amount` nanodollars at `at_us`.

    `value` is whose counter it is: a scope's value where the budget is one of each.
    """

    document: str
    budget_id: str
    value: str
    name: str
    at_us: int
    used: int
    amount: int


def reached_since(path: Path, since_us: int) -> list[Reached]:
    """What was reached at `since_us` or later, oldest first; nothing where no proxy has counted here.

    Raises CountersError.
    """
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)) as connection:
            return [Reached(*row) for row in connection.execute(_SQL, (since_us,)).fetchall()]
    except sqlite3.Error as error:
        raise CountersError(f"{path} cannot be read: {error}") from error
