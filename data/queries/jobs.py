"""The worker's regular jobs: how each last went."""

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select

from data.schema import jobs
from data.store import Statement, Store


@dataclass(frozen=True, slots=True)
class JobRow:
    """One row of `jobs`: its last run, how many there were and failed, and what people were told of that."""

    name: str
    started_at: datetime
    duration_ms: float
    ok: bool
    result: str
    runs: int
    failures: int
    failing_since: datetime | None = None
    in_a_row: int = 0
    told_at: datetime | None = None
    alarmed: bool = False


def every(store: Store) -> dict[str, JobRow]:
    """The jobs that have ever run, by name."""
    found = store.frame(select(jobs).order_by(jobs.c.name))
    return {row["name"]: JobRow(**row) for row in found.iter_rows(named=True)}


def by_name(store: Store, name: str) -> JobRow | None:
    """How a job last went, if it ever ran."""
    rows = store.frame(select(jobs).where(jobs.c.name == name)).to_dicts()
    return JobRow(**rows[0]) if rows else None


def writing(row: JobRow) -> list[Statement]:
    """Keep how a job went, instead of how it went before."""
    return [Statement(delete(jobs).where(jobs.c.name == row.name)), Statement(insert(jobs).values(**asdict(row)))]
