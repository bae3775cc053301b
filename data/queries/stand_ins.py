"""Incidents that are over, of whose end those may not know who were told of them in place of a channel that failed."""

from datetime import datetime
from typing import Any

from sqlalchemy import CTE, Select, or_, select, tuple_

from data.queries.alerts import RESOLVED
from data.queries.notifications import BUNDLED, ENDS, PENDING, SENT, SILENT
from data.schema import alerts, notifications
from data.store import Store


def ended(store: Store, *, since: datetime) -> dict[str, datetime]:
    """When such incidents ended, by id, of those that did since then.

    Left out are those about which something is on its way still, to whomever: that may bring the end.
    """
    n, a = notifications.c, alerts.c
    over = (a.status == RESOLVED) & (a.resolved_at >= since)
    stood_in = (n.fallback_of != "") & n.status.in_((SENT, BUNDLED))
    joined = select(a.id, a.resolved_at, n.channel).select_from(alerts.join(notifications, n.alert_id == a.id))
    candidates = joined.where(over, stood_in)
    if store.frame(candidates.limit(1)).is_empty():
        return {}  # as nearly always: what follows looks through all notifications several times
    few = candidates.cte("few")
    heard = tuple_(few.c.id, few.c.channel).in_(_ends(few))
    question = select(few.c.id, few.c.resolved_at).where(~heard, few.c.id.not_in(_on_its_way(few))).distinct()
    return dict(store.frame(question).iter_rows())


def _ends(few: CTE) -> Select[Any]:
    """Which channels were told of the end of which of these, by the reasons alone."""
    n = notifications.alias("ending").c
    told = or_(n.reason.in_(ENDS), n.held.in_(ENDS))
    return select(n.alert_id, n.channel).where(n.alert_id.in_(select(few.c.id)), told)


def _on_its_way(few: CTE) -> Select[Any]:
    """Ids of those about which something is to be told: by itself, in a bundle, or later with others."""
    n, carrier = notifications.alias("waiting").c, notifications.alias("carrier").c
    held_back = (n.status == SILENT) & (n.held != "") & (n.bundle == "")
    together = (n.status == BUNDLED) & n.bundle.in_(select(carrier.id).where(carrier.status == PENDING))
    mine = n.alert_id.in_(select(few.c.id))
    return select(n.alert_id).where(mine, or_(n.status == PENDING, held_back, together))
