"""What people do with incidents: take them on, resolve them, read their history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson
import polars as pl

from data.errors import ConflictError
from data.queries import alerts as queries
from data.queries import comments, notifications
from data.queries import rules as rule_rows
from data.queries.alerts import OPEN, RESOLVED, HistoryFilter, committing
from data.store import Statement, Store
from engine import follow_up, instances, state
from engine.audit import clock, entry, new_id
from engine.episode import Move, Watched, changes
from engine.errors import NotFound, Refused, StaleVersion
from engine.ration import rationed
from engine.rule_endings import to_end
from engine.situation import situations
from engine.state import Instance, Reason

#: How often a change is tried again when an evaluation changed the same incident at the same time.
_TRIES = 5
#: So many notifications and comments an incident's detail has; their own listings have all.
MOST = 500
_ANY = HistoryFilter()


class Action(StrEnum):
    """What can be done to many incidents at once."""

    ACKNOWLEDGE = "acknowledge"
    SNOOZE = "snooze"
    RESOLVE = "resolve"
    COMMENT = "comment"
    ASSIGN = "assign"


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one incident of a bulk action: its status now, and whether this action changed it."""

    id: str
    status: str
    changed: bool


def acknowledge(
    store: Store,
    alert_ids: Sequence[str],
    *,
    by: str,
    comment: str = "",
    until: datetime | None = None,
    versions: Mapping[str, int] | None = None,
    at: datetime | None = None,
    action: Action = Action.ACKNOWLEDGE,
    told_by: str = "",
    also: Sequence[Statement] = (),
) -> list[Done]:
    """Take open incidents on, all or none; repeats and escalation stop until `until` (None: until they resolve).

    `versions` are those that the person saw, by id. Channels that keep a record of their own are told, but for the one
    it was `told_by`; `also` is committed with it. Raises NotFound for an unknown id, Refused for a resolved incident,
    StaleVersion where somebody else has acted since.
    """
    now = at or clock()
    if until is not None and until <= now:
        raise Refused("an acknowledgement must end in the future")
    rows = found(store, alert_ids, versions)
    over = [row["id"] for row in rows if row["status"] == RESOLVED]
    if over:
        raise Refused(f"already resolved: {', '.join(over)}")
    statements = [*touching(rows, versions), *remarks(rows, action, by=by, comment=comment, at=now)]
    for row in rows:
        words = comment or row["comment"]
        statements.append(queries.acknowledging(row["id"], by=by, at=now, comment=words, until=until))
        detail = {"comment": comment, "until": until}
        statements.append(entry(by, action.value, "alert", row["id"], at=now, detail=detail))
    ids = [row["id"] for row in rows]
    statements += follow_up.taken_on(store, ids, by=by, comment=comment, at=now, besides=told_by)
    try:
        store.transact([*statements, *also])
    except ConflictError as error:
        raise StaleVersion("one of the incidents was changed meanwhile; nothing was done, read them again") from error
    return [Done(row["id"], queries.ACKNOWLEDGED, changed=True) for row in rows]


def resolve(
    store: Store,
    alert_ids: Sequence[str],
    *,
    by: str,
    comment: str = "",
    versions: Mapping[str, int] | None = None,
    at: datetime | None = None,
    public_url: str = "",
    also: Sequence[Statement] = (),
) -> list[Done]:
    """End incidents by hand, all or none; those already resolved stay as they are.

    Their instances begin anew: where the condition still holds, a new incident opens after the rule's `for`, and its
    notices obey the rule's cooldown. Channels that were told of the incident are told that it is over. `also` is
    committed with it, `versions` as in `acknowledge`. Raises NotFound for an unknown id, StaleVersion where somebody
    else has acted since or evaluations keep changing them.
    """
    now = at or clock()
    for _ in range(_TRIES):
        rows = found(store, alert_ids, versions)
        live = [row for row in rows if row["status"] in OPEN]
        statements = _resolving(store, live, by=by or "somebody", comment=comment, now=now, public_url=public_url)
        words = remarks(live, Action.RESOLVE, by=by or "somebody", comment=comment, at=now)
        try:
            store.transact([*touching(live, versions), *statements, *words, *also])
        except ConflictError:
            continue
        ended = {row["id"] for row in live}
        return [Done(row["id"], RESOLVED, changed=row["id"] in ended) for row in rows]
    raise StaleVersion("the incidents keep changing; try again")


def found(store: Store, alert_ids: Sequence[str], versions: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
    """The incidents in the order asked for, each once.

    Raises NotFound naming the ids that do not exist, StaleVersion naming those that are not as in `versions`.
    """
    wanted = list(dict.fromkeys(alert_ids))
    rows = {row["id"]: row for row in queries.by_ids(store, wanted).iter_rows(named=True)} if wanted else {}
    unknown = [alert_id for alert_id in wanted if alert_id not in rows]
    if unknown:
        raise NotFound(f"there is no incident {', '.join(unknown)}")
    stale = [each for each in wanted if versions and versions.get(each, rows[each]["version"]) != rows[each]["version"]]
    if stale:
        raise StaleVersion(f"somebody has acted on {', '.join(stale)} meanwhile; read it again")
    return [rows[alert_id] for alert_id in wanted]


def touching(rows: Sequence[Mapping[str, Any]], versions: Mapping[str, int] | None) -> list[Statement]:
    """Count that somebody acts on these; fails the whole where one is not at its version of `versions` any more."""
    return [queries.touching(row["id"], (versions or {}).get(row["id"])) for row in rows]


def remarks(
    rows: Sequence[Mapping[str, Any]], action: Action, *, by: str, comment: str, at: datetime
) -> list[Statement]:
    """The words that came with an act, in each incident's thread; none without words."""
    words = comment.strip()
    return [
        comments.adding(new_id(), alert_id=row["id"], at=at, author=by, action=action.value, text=words)
        for row in rows
        if words
    ]


def _resolving(
    store: Store, live: Sequence[Mapping[str, Any]], *, by: str, comment: str, now: datetime, public_url: str
) -> list[Statement]:
    rule_ids = sorted({row["rule_id"] for row in live})
    known = instances.from_rows(queries.instances(store, rule_ids)) if rule_ids else {}
    rules = _rules(store, rule_ids)
    told = situations(store, list(rules.values()), now, public_url=public_url, by=by, comment=comment)
    due = []
    for rule_id, rule in rules.items():
        mine = [row for row in live if row["rule_id"] == rule_id]
        moves = [_move(known.get(rule_id, {}), row, now) for row in mine]
        part = changes(rule, [move for move in moves if move], told[rule_id], now)
        due.append((rule.rule.severity, part))
    parts = rationed(due, told[next(iter(rules))].terms, now) if rules else []
    covered = {row["id"] for part in parts for row in part.resolved}
    parts += [_alone(row, by, comment, now) for row in live if row["id"] not in covered]
    lines = [entry(by, "resolve", "alert", row["id"], at=now, detail={"comment": comment}) for row in live]
    return [statement for part in parts for statement in committing([part])] + lines


def _rules(store: Store, rule_ids: Sequence[str]) -> dict[str, Watched]:
    stored = ((rule_id, rule_rows.by_id(store, rule_id)) for rule_id in rule_ids)
    return {rule_id: to_end(row) for rule_id, row in stored if row}


def _move(known: Mapping[str, Instance], row: Mapping[str, Any], now: datetime) -> Move | None:
    instance = known.get(row["group_key"])
    if instance is None or instance.alert_id != row["id"]:
        return None
    return Move(row["group_key"], instance, state.reset(instance, Reason.CONDITION, now))


def _alone(row: Mapping[str, Any], by: str, comment: str, now: datetime) -> queries.Changes:
    """Ends an incident whose rule or instance is gone."""
    ended = {"id": row["id"], "status": RESOLVED, "was_status": row["status"], "resolved_at": now, "resolved_by": by}
    return queries.Changes(resolved=({**ended, "comment": comment or row["comment"]},))


@dataclass(frozen=True, slots=True)
class Detail:
    """One incident with its transitions, its notifications and their attempts, and its comments, as plain rows.

    Of its notifications the newest, of its comments the first, at most `MOST` each; `more_…`: there are others.
    """

    alert: Mapping[str, Any]
    events: list[dict[str, Any]]
    notifications: list[dict[str, Any]]
    comments: list[dict[str, Any]] = field(default_factory=list)
    more_notifications: bool = False
    more_comments: bool = False


def detail(store: Store, alert_id: str) -> Detail:
    """Everything about one incident; raises NotFound."""
    (alert,) = found(store, [alert_id])
    told = notifications.history(store, alert_id=alert_id, limit=MOST + 1)
    thread = comments.of(store, alert_id, limit=MOST + 1)
    return Detail(
        _plain(alert),
        queries.events(store, alert_id).to_dicts(),
        with_attempts(store, told.head(MOST)),
        thread.head(MOST).to_dicts(),
        more_notifications=told.height > MOST,
        more_comments=thread.height > MOST,
    )


def with_attempts(store: Store, told: pl.DataFrame) -> list[dict[str, Any]]:
    """Notifications as plain rows, each with its `attempts_made`; `notice` and `fallback` are unpacked.

    The attempts at one that was told with others are those at its bundle.
    """
    ids = [bundle or own for own, bundle in told.select("id", "bundle").iter_rows()]
    made = notifications.attempts(store, ids).to_dicts() if ids else []
    rows = [
        {**row, "notice": orjson.loads(row["notice"]), "fallback": orjson.loads(row["fallback"])}
        for row in told.to_dicts()
    ]
    return [
        {**row, "attempts_made": [a for a in made if a["notification_id"] == (row["bundle"] or row["id"])]}
        for row in rows
    ]


def active(
    store: Store,
    wanted: HistoryFilter = _ANY,
    *,
    before: tuple[datetime, str] | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Open incidents, newest first, each with its instance's state and current value; `labels` is unpacked.

    `before` are the opened_at and id of the last one already seen; without a limit all.
    """
    return [_plain(row) for row in queries.active(store, wanted, before=before, limit=limit).iter_rows(named=True)]


def history(store: Store, wanted: HistoryFilter, *, before: str = "", limit: int = 50) -> list[dict[str, Any]]:
    """Incidents, newest first; `before` is the last id already seen."""
    return [_plain(row) for row in queries.history(store, wanted, before=before, limit=limit).iter_rows(named=True)]


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "labels": orjson.loads(row["labels"])}
