"""Reads what the consequences of a step depend on: open incidents and what channels were told."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from data.queries import alerts
from data.store import Store
from engine import silences
from engine.episode import Incident, Situation, Watched, memory
from engine.post import terms
from engine.telling import Told


def situations(
    store: Store, watched: Sequence[Watched], at: datetime, *, public_url: str = "", by: str = "", comment: str = ""
) -> dict[str, Situation]:
    """By rule id, everything its steps at `at` depend on; `by` and `comment` are of a person who acts by hand."""
    ids = [one.id for one in watched]
    if not ids:
        return {}
    base = Situation(
        public_url=public_url, by=by, comment=comment, silences=silences.at(store, at), terms=terms(store, at)
    )
    incidents: dict[str, dict[str, Incident]] = defaultdict(dict)
    for row in alerts.open_alerts(store, ids).iter_rows(named=True):
        made = Incident(row["id"], row["status"], row["opened_at"], row["acknowledged_until"])
        incidents[row["rule_id"]][row["id"]] = made
    opens = _opens(store, watched, at)
    told: dict[str, list[Told]] = defaultdict(list)
    for row in alerts.told(store, ids, at - memory([one.rule for one in watched])).iter_rows(named=True):
        line = Told(
            alert_id=row["alert_id"],
            group_key=row["group_key"],
            channel=row["channel"],
            reason=row["reason"],
            at=row["at"],
            silent=bool(row["silent"]),
            held=row["held"],
        )
        told[row["rule_id"]].append(line)
    return {
        one: replace(base, incidents=incidents.get(one, {}), told=tuple(told.get(one, ())), opens=opens.get(one, {}))
        for one in ids
    }


def _opens(store: Store, watched: Sequence[Watched], at: datetime) -> dict[str, dict[str, tuple[datetime, ...]]]:
    """By rule id and group key, when they began to fire for as long as any of the rules looks back."""
    spans = [one.rule.flapping.within for one in watched if one.rule.flapping]
    found: dict[str, dict[str, tuple[datetime, ...]]] = defaultdict(dict)
    if not spans:
        return found
    for row in alerts.openings(store, [one.id for one in watched], at - max(spans)).iter_rows(named=True):
        groups = found[row["rule_id"]]
        groups[row["group_key"]] = (*groups.get(row["group_key"], ()), row["opened_at"])
    return found
