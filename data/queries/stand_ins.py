"""Incidents that are over, of whose end those may not know who were told of them in place of a channel that failed."""

from datetime import datetime
from typing import Any

from sqlalchemy import Select, exists, or_, select, union_all

from data.queries.alerts import RESOLVED
from data.queries.notifications import BUNDLED, ENDS, PENDING, SENT, SILENT
from data.schema import alerts, notifications
from data.store import Store


def ended(store: Store, *, since: datetime) -> dict[str, datetime]:
    """When such incidents ended, by id, of those that did since then.

    Left out are those about which something is on its way still, to whomever: that may bring the end.
    """
    n, a, end = notifications.c, alerts.c, notifications.alias("ending").c
    told_over = exists().where(
        end.alert_id == n.alert_id, end.channel == n.channel, or_(end.reason.in_(ENDS), end.held.in_(ENDS))
    )
    question = select(a.id, a.resolved_at).select_from(alerts.join(notifications, n.alert_id == a.id)).distinct()
    over = (a.status == RESOLVED) & (a.resolved_at >= since)
    stood_in = (n.fallback_of != "") & n.status.in_((SENT, BUNDLED))
    found = store.frame(question.where(over, stood_in, ~told_over, a.id.not_in(_on_its_way())))
    return dict(found.iter_rows())


def _on_its_way() -> Select[Any]:
    """Ids of the incidents that something is to be told of: by itself, in a bundle, or later with others."""
    n, part = notifications.c, notifications.alias("part").c
    pending = select(n.id).where(n.status == PENDING)
    held_back = (n.status == SILENT) & (n.held != "") & (n.bundle == "")
    alone = select(n.alert_id).where(or_(n.status == PENDING, held_back))
    together = select(part.alert_id).where(part.status == BUNDLED, part.bundle.in_(pending))
    return select(union_all(alone, together).subquery("on_its_way").c.alert_id)
