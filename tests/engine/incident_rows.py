"""Incidents and notifications of the past as rows, without the evaluations that would have led to them."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from random import Random
from typing import Any

from data import bulk
from data.client import FlightStore
from data.queries.notifications import BUNDLED, FAILED, PENDING, SENT, SILENT, NotificationRow
from data.schema import alerts, notifications
from engine.audit import new_id

HOUR = timedelta(hours=1)


def incident(rule: str, opened: datetime, *, until: datetime | None = None, **changes: Any) -> dict[str, Any]:
    """A row of `alerts`."""
    row = {"id": new_id(), "rule_id": rule, "rule_name": rule.upper(), "severity": "high", "group_key": "{}"}
    row |= {"labels": "{}", "status": "resolved" if until else "firing", "summary": "", "value": 2.0, "threshold": 1.0}
    row |= {"opened_at": opened, "first_acknowledged_at": None, "acknowledged_at": None, "resolved_at": until}
    row |= {"acknowledged_by": "", "resolved_by": "", "comment": "", "assignee": ""}
    row |= {"openings": 1, "flapping": False, "version": 1}
    return {**row, **changes}


def notice(channel: str, made: datetime, *, status: str = SENT, took_s: float = 2.0, **changes: Any) -> dict[str, Any]:
    """A row of `notifications`."""
    done = None if status == PENDING else made + timedelta(seconds=took_s)
    row = NotificationRow(new_id(), "", "", "", channel, "first", status, "{}", made, made, finished_at=done)
    return {**asdict(row), **changes}


def put(
    store: FlightStore, *, incidents: Iterable[dict[str, Any]] = (), notices: Iterable[dict[str, Any]] = ()
) -> None:
    for table, rows in ((alerts, list(incidents)), (notifications, list(notices))):
        if rows:
            store.transact([bulk.inserting(table, rows)])


def past(store: FlightStore, today: datetime, days: int, seed: int = 1) -> None:
    """Every day a few of each, also over midnight, some open, some that come back soon."""
    random, opened, made = Random(seed), [], []
    for day in range(days):
        for _ in range(random.randrange(4)):
            at = today - day * timedelta(days=1) + random.randrange(24 * 60) * timedelta(minutes=1)
            ended = at + random.choice([1, 30, 90, 60 * 24 * 3]) * timedelta(minutes=1)
            taken = random.choice([None, at + timedelta(seconds=random.randrange(600))])
            more = {"severity": random.choice(["high", "low"]), "first_acknowledged_at": taken}
            rule = random.choice("abc")
            opened.append(incident(rule, at, until=ended, flapping=random.random() < 0.2, **more))
            again = ended + random.choice([5, 59, 60, 300]) * timedelta(minutes=1)
            opened.append(incident(rule, again, until=again + HOUR))
        for _ in range(random.randrange(5)):
            at = today - day * timedelta(days=1) + random.randrange(24 * 60) * timedelta(minutes=1)
            status = random.choice([SENT, SENT, FAILED, SILENT, BUNDLED])
            held = "first" if status == BUNDLED and random.random() < 0.5 else ""
            reason = random.choice(["first", "repeat"]) if status != SILENT else "silenced"
            made.append(notice(random.choice(["mail", "hook"]), at, status=status, reason=reason, held=held))
    put(store, incidents=opened, notices=made)
