"""Why a channel was told of an incident, or was not: every decision that was stored, in words."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from data.queries import notifications
from data.queries.notifications import BUNDLED, SILENT
from data.store import Store
from engine.incidents import found

#: What a notification's reason means.
WORDS: Mapping[str, str] = {
    "first": "first notice of the incident",
    "new_groups": "another group began to fire, while others do",
    "resolved": "the incident is over",
    "some_resolved": "this group is over, others fire still",
    "repeat": "reminder, nobody had acknowledged it",
    "escalation": "escalation, nobody had acknowledged it",
    "flapping": "it keeps coming and going",
    "acknowledgement": "somebody has taken it on",
    "unacknowledged": "nobody is on it any more",
    "fallback": "stands in for a channel that failed",
    "digest": "digest of what was held back",
    "test": "test of the channel",
    "cooldown": "quiet time after the last notice",
    "silenced": "a silence covers it",
    "inhibited": "another incident that explains it fires",
    "inactive_hours": "outside the rule's active hours",
    "acknowledged": "somebody had taken it on",
    "still_flapping": "it keeps coming and going, as was told",
    "others_fire": "others that it was told of fire still; it hears of the end once all are over",
    "rate_limited": "too many notices",
    "nothing_new": "nothing new to say",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision about one channel.

    `told`: a notice was queued for it, alone or in the notification `bundle`; what came of it is `status`. `held` is
    what a silence kept back: it is told later, `words` say in what.
    """

    id: str
    at: datetime
    channel: str
    reason: str
    told: bool
    status: str
    held: str
    bundle: str
    words: str


def decisions(store: Store, alert_id: str, *, before: str = "", limit: int = 50) -> list[Decision]:
    """Every stored decision about an incident, newest first; raises NotFound.

    A decision is stored when something is told, and when the reason of a silence is another than before.
    """
    found(store, [alert_id])
    rows = notifications.history(store, alert_id=alert_id, before=before, limit=limit)
    return [_decision(row) for row in rows.iter_rows(named=True)]


def plain(decision: Decision) -> dict[str, Any]:
    """A decision as the API shows it."""
    return asdict(decision)


def _decision(row: Mapping[str, Any]) -> Decision:
    return Decision(
        id=row["id"],
        at=row["created_at"],
        channel=row["channel"],
        reason=row["reason"],
        told=row["status"] != SILENT,
        status=row["status"],
        held=row["held"],
        bundle=row["bundle"],
        words=_words(row),
    )


def _words(row: Mapping[str, Any]) -> str:
    why = WORDS.get(row["reason"], row["reason"].replace("_", " "))
    if row["held"]:
        return f"{why}; {'told later, with others' if row['status'] == BUNDLED else 'it will be told later'}"
    return f"{why}, together with others" if row["status"] == BUNDLED else why
