"""Each day's figures, counted while its rows are there and kept for when they are gone."""

from datetime import datetime, timedelta
from typing import Any

from data.config import RetentionConfig
from data.queries import alert_days, jobs
from data.queries import rules as rule_rows
from data.queries.alert_days import DAY
from data.queries.rules import RuleRow
from data.store import Store
from engine.tallies import Tallies, counted, figures, kept, midnight

#: Days are counted anew for so long, whatever they said: a failed notification may be sent again by hand.
_FRESH = timedelta(days=7)
#: So much is read at once.
_PIECE = timedelta(days=31)
_RETENTION = "retention"


def bring_up_to_date(store: Store, retention: RetentionConfig, at: datetime) -> int:
    """Count the days that are not kept yet, the last week, and those that may have changed; how many these were.

    The very first time that is every day whose rows are all there.
    """
    today, known = midnight(at), alert_days.kept(store)
    if known.last is None:
        begin = _first_whole_day(store, retention, today)
        late = []
    else:
        begin = min(known.last, today - _FRESH)
        begin = max(begin, known.first or begin, (known.closed + DAY) if known.closed else begin)
        late = [day for day in alert_days.unfinished(store) if day < begin]
    rules = rule_rows.every(store)
    for day in late:
        _keep(store, day, day + DAY, rules, at)
    while begin <= today:
        end = min(begin + _PIECE, today + DAY)
        _keep(store, begin, end, rules, at)
        late += [begin + n * DAY for n in range((end - begin) // DAY)]
        begin = end
    return len(late)


def _first_whole_day(store: Store, retention: RetentionConfig, today: datetime) -> datetime:
    oldest = alert_days.oldest(store)
    first = today if oldest is None else min(midnight(oldest), today)
    ages = [days for days in (retention.incidents_days, retention.deliveries_days) if days]
    dropped = jobs.every(store).get(_RETENTION)
    if not ages or dropped is None:
        return first
    return min(max(first, midnight(dropped.started_at - min(ages) * DAY) + DAY), today)


def _keep(store: Store, start: datetime, end: datetime, rules: list[RuleRow], at: datetime) -> None:
    found = counted(store, start, end)
    days = [_row(start + n * DAY, found, rules, at) for n in range((end - start) // DAY)]
    parts = {"incidents": found.incidents.to_dicts(), "notices": found.notices.to_dicts()}
    store.transact(alert_days.keeping(start, end, days=days, **parts))


def _row(day: datetime, found: Tallies, rules: list[RuleRow], at: datetime) -> dict[str, Any]:
    that_day = found.of(day)
    there = {rule.id for rule in rules if rule.created_at < day + DAY}
    return {
        "day": day,
        "counted_at": at,
        "closed": False,
        "unfinished": that_day.unfinished,
        "never_fired": len(there - that_day.fired),
    }


def history(store: Store, start: datetime | None, end: datetime | None, *, limit: int) -> list[dict[str, Any]]:
    """Kept days that begin in [start, end), newest first.

    day, counted_at, closed (the rows it was counted from are going: it stays as it is), unfinished, never_fired (how
    many rules), and what `tallies.figures` gives.
    """
    days = alert_days.days(store, start, end, limit=limit).to_dicts()
    if not days:
        return []
    found = kept(store, days[-1]["day"], days[0]["day"] + DAY)
    return [{**row, **figures(found.of(row["day"]))} for row in days]
