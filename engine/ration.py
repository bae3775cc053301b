"""Holds back what channels take no more of: such a notice is kept silent as `rate_limited`, for a digest. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from msgspec import structs

from data.queries.alerts import Changes
from data.queries.notifications import PENDING, SILENT
from engine import notice
from engine.notify import Reason
from engine.rule import Severity
from engine.terms import Purse, Terms

Row = Mapping[str, Any]


def rationed(parts: Sequence[tuple[Severity, Changes]], terms: Terms, at: datetime) -> list[Changes]:
    """The same changes, with what is over a limit held back; the worst severity is served first."""
    purse, ranks = Purse(terms, at), list(Severity)
    made: dict[int, Changes] = {}
    for place in sorted(range(len(parts)), key=lambda n: ranks.index(parts[n][0])):
        made[place] = _served(parts[place][1], purse)
    return [made[place] for place in range(len(parts))]


def _served(part: Changes, purse: Purse) -> Changes:
    sent: Counter[str] = Counter()
    denied: set[str] = set()
    for row in part.notices:
        if row["status"] == PENDING:
            if purse.take(row["channel"]):
                sent[row["channel"]] += 1
            else:
                denied.add(row["id"])
    if not (sent or denied):
        return part
    kept = tuple(
        _held(row) if denied & {row["id"], row["bundle"]} else row for row in part.notices if _stays(row, denied)
    )
    return replace(part, notices=kept, spent=purse.spent(sent))


def _stays(row: Row, denied: set[str]) -> bool:
    """A bundle that is not sent leaves only its parts."""
    return row["id"] not in denied or bool(row["alert_id"])


def _held(row: Row) -> Row:
    said = structs.replace(notice.decode(row["notice"]), reason=Reason.RATE_LIMITED.value)
    return {
        **row,
        "status": SILENT,
        "reason": Reason.RATE_LIMITED.value,
        "held": row["reason"],
        "bundle": "",
        "notice": notice.encode(said),
        "finished_at": row["created_at"],
    }
