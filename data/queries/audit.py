"""Who changed what, and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
from sqlalchemy import insert, select

from data import bulk
from data.schema import audit_log
from data.store import Statement, Store

#: The kinds of object that lines are about.
KINDS = ("rule", "channel", "silence", "alert", "notification", "job", "budget", "key", "requests")


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which lines are asked for; empty means any. `start` and `end` bound the time, half-open."""

    actor: tuple[str, ...] = ()
    action: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    object_id: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None


def lines(store: Store, wanted: AuditFilter, *, before: str = "", limit: int = 50) -> pl.DataFrame:
    """Lines of the audit log, newest first: the columns of `audit_log`; `before` is the last id already seen."""
    a = audit_log.c
    question = select(audit_log).order_by(a.id.desc()).limit(limit)
    for column, values in (
        (a.actor, wanted.actor),
        (a.action, wanted.action),
        (a.object_kind, wanted.kind),
        (a.object_id, wanted.object_id),
    ):
        question = question.where(column.in_(values)) if values else question
    question = question.where(a.at >= wanted.start) if wanted.start else question
    question = question.where(a.at < wanted.end) if wanted.end else question
    return store.frame(question.where(a.id < before) if before else question)


def auditing(
    entry_id: str, *, at: datetime, actor: str, action: str, kind: str, object_id: str, detail: str
) -> Statement:
    """Record who changed what; `detail` is JSON text without secrets."""
    values = {
        "id": entry_id,
        "at": at,
        "actor": actor,
        "action": action,
        "object_kind": kind,
        "object_id": object_id,
        "detail": detail,
    }
    return Statement(insert(audit_log).values(**values), expect=1)


def auditing_all(
    entries: Sequence[tuple[str, str, str]], *, at: datetime, actor: str, action: str, kind: str
) -> Statement:
    """As `auditing`, of one act on many objects: each entry's id, object and detail."""
    same = {"at": at, "actor": actor, "action": action, "object_kind": kind}
    rows = [{"id": one, **same, "object_id": about, "detail": detail} for one, about, detail in entries]
    return bulk.inserting(audit_log, rows)
