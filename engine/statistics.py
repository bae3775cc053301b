"""How well incidents are handled, in figures."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import polars as pl

from data.queries import alert_days
from data.queries import rules as rule_rows
from data.queries.alert_days import DAY
from data.store import Store
from engine.tallies import Tallies, counted, figures, kept, midnight, split


class Source(StrEnum):
    """What figures were counted from."""

    #: the incidents and notifications themselves
    ROWS = "rows"
    #: each day's figures, kept from when its rows were still there
    DAYS = "days"
    #: the rows that are left of a time of which others were dropped and no figures are kept
    REMAINS = "remains"


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of time, half-open, and what its figures were counted from."""

    start: datetime
    end: datetime
    source: Source


@dataclass(frozen=True, slots=True)
class Statistics:
    """Figures over the incidents opened in a time range; means are seconds, None where nothing was counted."""

    start: datetime
    end: datetime
    incidents: int
    open: int
    mtta_s: float | None
    mttr_s: float | None
    flaps: int
    flapping: int  # incidents that opened while their group flapped
    by_severity: list[dict[str, Any]]
    by_rule: list[dict[str, Any]]  # noisiest first
    by_day: list[dict[str, Any]]
    never_fired: list[dict[str, str]]
    suppressed: list[dict[str, Any]]  # held back, by reason, whether or not it was told later
    deliveries: list[dict[str, Any]]
    #: what is from what; kept days count whole, so that of a day that the range cuts through nothing is counted
    sources: list[dict[str, Any]]


def statistics(store: Store, start: datetime, end: datetime) -> Statistics:
    """Statistics of [start, end)."""
    parts = sources(alert_days.kept(store), start, end)
    found = counted(store, start, start)
    for part in parts:
        found += (kept if part.source is Source.DAYS else counted)(store, part.start, part.end)
    days = Tallies(found.incidents.with_columns(day=pl.col("day").dt.strftime("%Y-%m-%d")), found.notices)
    fired = found.fired
    return Statistics(
        start=start,
        end=end,
        **figures(found),
        by_day=split(days, "day", order="day"),
        never_fired=[{"rule_id": r.id, "rule_name": r.name} for r in rule_rows.every(store) if r.id not in fired],
        sources=[{"from": part.start, "to": part.end, "source": part.source} for part in parts],
    )


def sources(known: alert_days.Kept, start: datetime, end: datetime) -> list[Part]:
    """What [start, end) is counted from, the oldest first: from rows wherever all of them are there."""
    if known.closed is None or known.first is None:
        return [Part(start, end, Source.ROWS)]
    whole = known.closed + DAY  # from here on no row has gone
    first, last = max(_next_midnight(start), known.first), min(midnight(end), whole)
    found = [
        Part(start, min(end, known.first), Source.REMAINS),
        Part(first, last, Source.DAYS),
        Part(max(start, whole), end, Source.ROWS),
    ]
    return [part for part in found if part.start < part.end]


def _next_midnight(at: datetime) -> datetime:
    """The first one at `at` or later."""
    return at if at == midnight(at) else midnight(at) + DAY
