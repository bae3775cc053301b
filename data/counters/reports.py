"""How budgets stand: what people are shown, and which thresholds were told."""

from data.budget_periods import Span
from data.counters.file import CounterFile
from data.counters.rows import Crossing, Group
from data.counters.slices import OTHERS, is_full, standing


def groups(file: CounterFile, budget: int, counts: Span, limit: int) -> list[Group]:
    """Counters in which something is spent or taken, the greatest first. Raises CountersError, as all here."""
    sql = """
        SELECT value, sum(s) AS spent, sum(l) AS leased, sum(b) AS batches FROM (
            SELECT value, nano AS s, 0 AS l, 0 AS b FROM spent WHERE budget = ?1 AND bucket >= ?2 AND bucket < ?3
            UNION ALL SELECT value, 0, nano, 0 FROM slices WHERE budget = ?1
            UNION ALL SELECT value, 0, nano, nano FROM holds WHERE budget = ?1)
        GROUP BY value HAVING sum(s) <> 0 OR sum(l) <> 0 ORDER BY sum(s) DESC, sum(l) DESC, value LIMIT ?4"""
    with file.transaction() as execute:
        return [Group(*row) for row in execute(sql, (budget, counts.start_us, counts.end_us, limit)).fetchall()]


def group(file: CounterFile, budget: int, value: str, counts: Span) -> Group:
    """The counter that a value counts in."""
    with file.transaction() as execute:
        found = execute("SELECT 1 FROM counters WHERE budget = ? AND value = ?", (budget, value)).fetchone()
        counter = value if found or not is_full(execute, budget) else OTHERS
        return Group(counter, *standing(execute, budget, counter, counts))


def buckets(file: CounterFile, budget: int, value: str, counts: Span) -> list[tuple[int, int]]:
    """(start, nanodollars) of a counter's buckets, oldest first."""
    sql = "SELECT bucket, nano FROM spent WHERE budget = ? AND value = ? AND bucket >= ? AND bucket < ? ORDER BY bucket"
    with file.transaction() as execute:
        return execute(sql, (budget, value, counts.start_us, counts.end_us)).fetchall()


def cross(file: CounterFile, crossing: Crossing, since: int) -> bool:
    """Note that a threshold was reached; False where that was noted at `since` or later."""
    sql = """
        INSERT INTO crossings (budget, value, name, at, used, amount) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (budget, value, name) DO UPDATE
        SET at = excluded.at, used = excluded.used, amount = excluded.amount WHERE at < ?"""
    with file.transaction() as execute:
        return execute(sql, (*crossing, since)).rowcount > 0


def crossings(file: CounterFile, budget: int, limit: int) -> list[Crossing]:
    """The newest crossings of a budget."""
    sql = "SELECT * FROM crossings WHERE budget = ? ORDER BY at DESC, value, name LIMIT ?"
    with file.transaction() as execute:
        return [Crossing(*row) for row in execute(sql, (budget, limit)).fetchall()]
