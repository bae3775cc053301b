"""The worker's regular jobs: how each last went."""

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select, update

from data.schema import jobs
from data.store import Statement, Store


@dataclass(frozen=True, slots=True)
class JobRow:
    """One row of `jobs`: its last run, how many there were and failed, and what people were told of that.

    One without `runs` has never ended: it has begun at `started_at`, and hangs.
    """

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
    hanging_since: datetime | None = None
    hanging_told_at: datetime | None = None


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


def hanging(before: JobRow | None, name: str, since: datetime, at: datetime) -> Statement:
    """Keep that people are told at `at` that the run begun at `since` hangs; fails where `before` stands no longer."""
    if before is None:
        row = JobRow(name, since, 0.0, ok=True, result="", runs=0, failures=0, hanging_since=since, hanging_told_at=at)
        return Statement(insert(jobs).values(**asdict(row)))
    same = jobs.c.hanging_since.is_not_distinct_from(before.hanging_since)
    told = update(jobs).where(jobs.c.name == name, jobs.c.runs == before.runs, same)
    return Statement(told.values(hanging_since=since, hanging_told_at=at), expect=1)
