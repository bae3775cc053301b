"""What people do with incidents besides resolving them: comment, assign, put off; one or many, all or none."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from data.errors import ConflictError
from data.queries import alerts as queries
from data.queries import comments as comment_rows
from data.store import Statement, Store
from engine.audit import clock, entry
from engine.errors import Fault, RuleError, StaleVersion
from engine.incidents import Action, Done, acknowledge, found, remarks, touching

Row = Mapping[str, Any]


def comment(
    store: Store,
    alert_ids: Sequence[str],
    *,
    by: str,
    comment: str,
    versions: Mapping[str, int] | None = None,
    at: datetime | None = None,
) -> list[Done]:
    """Add a comment to each incident's thread. Raises NotFound, StaleVersion, or RuleError for an empty one."""
    if not comment.strip():
        raise RuleError([Fault("comment", "needs words")])
    return _each(store, alert_ids, lambda _row: [], Action.COMMENT, by=by, comment=comment, versions=versions, at=at)


def assign(
    store: Store,
    alert_ids: Sequence[str],
    *,
    by: str,
    assignee: str,
    comment: str = "",
    versions: Mapping[str, int] | None = None,
    at: datetime | None = None,
) -> list[Done]:
    """Give each incident to somebody, '' to nobody. Raises NotFound or StaleVersion."""
    return _each(
        store,
        alert_ids,
        lambda row: [queries.assigning(row["id"], assignee)],
        Action.ASSIGN,
        by=by,
        comment=comment,
        versions=versions,
        at=at,
        detail={"assignee": assignee},
    )


def snooze(
    store: Store,
    alert_ids: Sequence[str],
    *,
    by: str,
    until: datetime,
    comment: str = "",
    versions: Mapping[str, int] | None = None,
    at: datetime | None = None,
) -> list[Done]:
    """Take open incidents on until a time: what still fires then is told again as the rule's repeat has it.

    Raises as `acknowledge`.
    """
    return acknowledge(
        store, alert_ids, by=by, comment=comment, until=until, versions=versions, at=at, action=Action.SNOOZE
    )


def comments(store: Store, alert_id: str, *, after: str = "", limit: int = 50) -> list[dict[str, Any]]:
    """An incident's thread, oldest first; `after` is the last id already seen. Raises NotFound."""
    found(store, [alert_id])
    return comment_rows.of(store, alert_id, after=after, limit=limit).to_dicts()


def _each(
    store: Store,
    alert_ids: Sequence[str],
    change: Callable[[Row], list[Statement]],
    action: Action,
    *,
    by: str,
    comment: str,
    versions: Mapping[str, int] | None,
    at: datetime | None,
    detail: Mapping[str, Any] | None = None,
) -> list[Done]:
    now, rows = at or clock(), found(store, alert_ids, versions)
    statements = [*touching(rows, versions), *remarks(rows, action, by=by, comment=comment, at=now)]
    for row in rows:
        statements += change(row)
        told = {**(detail or {}), "comment": comment}
        statements.append(entry(by, action.value, "alert", row["id"], at=now, detail=told))
    try:
        store.transact(statements)
    except ConflictError as error:
        raise StaleVersion("one of the incidents was changed meanwhile; nothing was done, read them again") from error
    return [Done(row["id"], row["status"], changed=True) for row in rows]
