"""Holds back what channels take no more of: such a notice is kept silent as `rate_limited`, for a digest. Pure."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
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
_RANKS: Mapping[str, int] = {severity.value: rank for rank, severity in enumerate(Severity)}


def rationed(parts: Sequence[Changes], terms: Terms, at: datetime) -> list[Changes]:
    """The same changes, with what is over a limit held back; the worst severity is served first.

    That is the notice's own: what a critical rule only warns of does not come before another's high.
    """
    due = [(place, row) for place, part in enumerate(parts) for row in part.notices if row["status"] == PENDING]
    purse, sent = Purse(terms, at), [Counter[str]() for _ in parts]
    denied: set[str] = set()
    for place, row in sorted(due, key=lambda one: _rank(one[1])) if len(due) > 1 else due:
        if purse.take(row["channel"]):
            sent[place][row["channel"]] += 1
        else:
            denied.add(row["id"])
    return [_served(part, purse.spent(count), denied) for part, count in zip(parts, sent, strict=True)]


def _rank(row: Row) -> int:
    return _RANKS[notice.decode(row["notice"]).severity]


def _served(part: Changes, spent: tuple[dict[str, Any], ...], denied: Container[str]) -> Changes:
    if not any(row["status"] == PENDING for row in part.notices):
        return part
    kept = tuple(
        _held(row) if row["id"] in denied or row["bundle"] in denied else row
        for row in part.notices
        if _stays(row, denied)
    )
    return replace(part, notices=kept, spent=spent)


def _stays(row: Row, denied: Container[str]) -> bool:
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
