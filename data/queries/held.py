"""Notices that were held back and are told later, with others."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl
from sqlalchemy import exists, func, or_, select

from data import bulk
from data.queries.alerts import OPEN
from data.queries.notifications import BUNDLED, SILENT
from data.schema import alerts, notifications
from data.store import Statement, Store


def held(store: Store, now: datetime, *, limited: str, most: int = 5_000) -> pl.DataFrame:
    """What is due to be told by `now`, oldest first, with how its incident stands.

    But for those silent because of `limited`, those of one channel and group wait for one another and for the end of
    their incident. Where there are more than `most`, each channel has its turn. Columns: id,
    alert_id, group_key, channel, reason, held, created_at, fallback, notice; rule_id, rule_name, severity, opened_at,
    resolved_at and `open` of the incident; and `told`, whether the channel has heard of the incident.
    """
    n, a, other = notifications.c, alerts.c, notifications.alias("other").c
    last = func.max(n.due_at).over(partition_by=(n.channel, n.rule_id, n.group_key, n.reason == limited)).label("last")
    waiting = select(notifications, last).where(n.status == SILENT, n.held != "", n.bundle == "").subquery("waiting")
    w = waiting.c
    told = exists().where(
        other.alert_id == w.alert_id, other.channel == w.channel, other.status != SILENT, other.fallback_of == ""
    )
    columns = (w.id, w.alert_id, w.group_key, w.channel, w.reason, w.held, w.created_at, w.fallback, w.notice)
    known = (a.rule_id, a.rule_name, a.severity, a.opened_at, a.resolved_at, a.status.in_(OPEN).label("open"))
    turn = func.row_number().over(partition_by=w.channel, order_by=w.id).label("turn")
    question = select(*columns, *known, told.label("told"), turn).join(alerts, a.id == w.alert_id)
    due = question.where(w.last <= now, or_(w.reason == limited, a.status.not_in(OPEN)))
    chosen = due.order_by("turn", w.id).limit(most).subquery("chosen")
    return store.frame(select(*(each for each in chosen.c if each.name != "turn")).order_by(chosen.c.id))


def telling(rows: Sequence[Mapping[str, Any]]) -> list[Statement]:
    """Mark these as told: `id`, the `bundle` they are told by, the reason they count with (`held`), and when (`at`)."""
    marks = [
        {
            "id": row["id"],
            "was_status": SILENT,
            "was_bundle": "",
            "status": BUNDLED,
            "bundle": row["bundle"],
            "held": row["held"],
            "finished_at": row["at"],
        }
        for row in rows
    ]
    return [bulk.updating(notifications, marks, by=("id",))] if marks else []


def dropping(ids: Sequence[str]) -> list[Statement]:
    """Nothing is left to tell of these: the channel has heard of it by itself."""
    marks = [{"id": each, "was_status": SILENT, "held": ""} for each in ids]
    return [bulk.updating(notifications, marks, by=("id",))] if marks else []
