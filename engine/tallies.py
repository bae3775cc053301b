"""Incidents and notifications counted by day, in figures that add up, and what such figures come to."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from data.queries import alert_days
from data.queries.alerts import RESOLVED
from data.queries.notifications import BUNDLED, PENDING, SILENT
from data.store import Store

#: An incident of the same rule and group this soon after the last one ended counts as a flap.
FLAP_WITHIN = timedelta(hours=1)
_OF_RULE = ("rule_id", "rule_name", "severity")


@dataclass(frozen=True, slots=True)
class Tallies:
    """The columns of `alert_day_incidents`, and those of `alert_day_notices`."""

    incidents: pl.DataFrame
    notices: pl.DataFrame

    def __add__(self, other: "Tallies") -> "Tallies":
        return Tallies(_both(self.incidents, other.incidents), _both(self.notices, other.notices))

    def of(self, day: datetime) -> "Tallies":
        """Those of one day."""
        return Tallies(*(part.filter(pl.col("day") == day) for part in (self.incidents, self.notices)))

    @property
    def unfinished(self) -> int:
        """How many can still change: open incidents, and notifications that wait."""
        waiting = self.notices.filter(pl.col("status") == PENDING)["n"].sum()
        return int(self.incidents["open"].sum()) + int(waiting)

    @property
    def fired(self) -> set[str]:
        """Ids of the rules that had incidents."""
        return set(self.incidents["rule_id"].to_list())


def midnight(at: datetime) -> datetime:
    """When the day of UTC began that this time lies in."""
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def counted(store: Store, start: datetime, end: datetime) -> Tallies:
    """What opened, and was made, in [start, end), counted from the rows that there are."""
    found = alert_days.spans(store, start, end, ended_since=start - FLAP_WITHIN)
    return Tallies(_by_day(found, start), alert_days.notices(store, start, end))


def kept(store: Store, start: datetime, end: datetime) -> Tallies:
    """What is kept of the days that begin in [start, end)."""
    return Tallies(alert_days.kept_incidents(store, start, end), alert_days.kept_notices(store, start, end))


def _by_day(spans: pl.DataFrame, start: datetime) -> pl.DataFrame:
    """Incidents that opened from `start` on; earlier ones say whether these are flaps."""
    opened = pl.col("opened_at")
    latest_end = pl.col("resolved_at").cum_max().forward_fill().shift(1)
    ended = latest_end.over("rule_id", "group_key", order_by="opened_at")
    taken_on = (pl.col("first_acknowledged_at") - opened).dt.total_milliseconds() / 1000
    over = (pl.col("resolved_at") - opened).dt.total_milliseconds() / 1000
    marked = spans.with_columns(ended=ended, day=opened.dt.truncate("1d")).filter(opened >= start)
    return marked.group_by("day", *_OF_RULE).agg(
        incidents=pl.len(),
        open=(pl.col("status") != RESOLVED).sum(),
        flapping=pl.col("flapping").sum(),
        flaps=(opened - pl.col("ended") < FLAP_WITHIN).sum(),
        acknowledged=taken_on.count(),
        acknowledge_s=taken_on.sum(),
        resolved=over.count(),
        resolve_s=over.sum(),
    )


def _both(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([one, other.select(one.columns)], how="vertical_relaxed")


def figures(found: Tallies) -> dict[str, Any]:
    """incidents, open, mtta_s, mttr_s, flaps, flapping, by_severity, by_rule, suppressed and deliveries.

    Means are seconds, None where nothing was counted; rules come noisiest first.
    """
    sums = {name: found.incidents[name].sum() for name in ("incidents", "open", "flaps", "flapping")}
    quiet, carried = pl.col("status") == SILENT, pl.col("status") == BUNDLED
    held_back = found.notices.filter(quiet | pl.col("late")).group_by("reason").agg(pl.col("n").sum())
    sent = found.notices.filter(~quiet & ~carried).group_by("channel", "status")
    seconds = _mean("seconds", "finished").alias("seconds")
    return {
        **{name: int(total) for name, total in sums.items()},
        **found.incidents.select(*_means()).row(0, named=True),
        "by_severity": split(found, "severity"),
        "by_rule": split(found, "rule_id", "rule_name"),
        "suppressed": held_back.sort("reason").to_dicts(),
        "deliveries": sent.agg(pl.col("n").sum(), seconds).sort("channel", "status").to_dicts(),
    }


def split(found: Tallies, *by: str, order: str = "") -> list[dict[str, Any]]:
    """Incidents, mtta_s and mttr_s for each value; the most incidents first unless `order` names a column."""
    parts = found.incidents.group_by(by).agg(pl.col("incidents").sum(), *_means())
    ordered = parts.sort(order) if order else parts.sort("incidents", *by, descending=[True, *[False] * len(by)])
    return ordered.to_dicts()


def _means() -> tuple[pl.Expr, pl.Expr]:
    return _mean("acknowledge_s", "acknowledged").alias("mtta_s"), _mean("resolve_s", "resolved").alias("mttr_s")


def _mean(total: str, count: str) -> pl.Expr:
    return pl.when(pl.col(count).sum() > 0).then(pl.col(total).sum() / pl.col(count).sum())
