"""How well incidents are handled, in figures."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from data.queries import alerts
from data.queries import rules as rule_rows
from data.queries.notifications import BUNDLED, SILENT
from data.store import Store

#: An incident of the same rule and group this soon after the last one ended counts as a flap.
FLAP_WITHIN = timedelta(hours=1)


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


def statistics(store: Store, start: datetime, end: datetime) -> Statistics:
    """Statistics of [start, end)."""
    spans = alerts.spans(store, start, end).with_columns(
        ack_s=(pl.col("first_acknowledged_at") - pl.col("opened_at")).dt.total_milliseconds() / 1000,
        end_s=(pl.col("resolved_at") - pl.col("opened_at")).dt.total_milliseconds() / 1000,
    )
    counts = alerts.notification_counts(store, start, end)
    quiet, carried = pl.col("status") == SILENT, pl.col("status") == BUNDLED
    fired = set(spans["rule_id"].to_list())
    return Statistics(
        start=start,
        end=end,
        incidents=spans.height,
        open=spans.filter(pl.col("status") != "resolved").height,
        mtta_s=_mean(spans, "ack_s"),
        mttr_s=_mean(spans, "end_s"),
        flaps=_flaps(spans),
        flapping=int(spans["flapping"].sum()),
        by_severity=_split(spans, ["severity"]),
        by_rule=_split(spans, ["rule_id", "rule_name"]),
        by_day=_split(spans.with_columns(day=pl.col("opened_at").dt.strftime("%Y-%m-%d")), ["day"], order="day"),
        never_fired=[{"rule_id": r.id, "rule_name": r.name} for r in rule_rows.every(store) if r.id not in fired],
        suppressed=counts.filter(quiet | pl.col("late"))
        .group_by("reason")
        .agg(pl.col("n").sum())
        .sort("reason")
        .to_dicts(),
        deliveries=counts.filter(~quiet & ~carried)
        .group_by("channel", "status")
        .agg(*_delivered())
        .sort("channel", "status")
        .to_dicts(),
    )


def _delivered() -> tuple[pl.Expr, pl.Expr]:
    mean = (pl.col("seconds") * pl.col("n")).sum() / pl.col("n").sum()
    return pl.col("n").sum(), mean.alias("seconds")


def _mean(spans: pl.DataFrame, column: str) -> float | None:
    mean = spans[column].mean()
    return float(mean) if isinstance(mean, int | float) else None


def _split(spans: pl.DataFrame, by: list[str], order: str = "") -> list[dict[str, Any]]:
    """Incidents, mtta_s and mttr_s for each value; the most incidents first unless `order` names a column."""
    split = spans.group_by(by).agg(incidents=pl.len(), mtta_s=pl.col("ack_s").mean(), mttr_s=pl.col("end_s").mean())
    return (
        split.sort(order) if order else split.sort("incidents", *by, descending=[True, *[False] * len(by)])
    ).to_dicts()


def _flaps(spans: pl.DataFrame) -> int:
    ended = pl.col("resolved_at").shift(1).over("rule_id", "group_key", order_by="opened_at")
    return spans.with_columns(ended=ended).filter(pl.col("opened_at") - pl.col("ended") < FLAP_WITHIN).height
