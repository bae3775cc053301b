"""Silences: incidents whose labels match are recorded as ever, but nobody is told while the silence lasts."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

import orjson

from data.errors import ConflictError
from data.queries import silences as rows
from data.queries.silences import SilenceRow
from data.store import Store
from engine.audit import clock, entry, new_id
from engine.errors import Fault, NotFound, Refused, RuleError

#: Names a matcher may have besides an incident's labels.
RULE, RULE_ID, SEVERITY = "rule", "rule_id", "severity"


@dataclass(frozen=True, slots=True)
class Silence:
    """All matchers (a name and a pattern with `*` and `?`) must match; in force in [starts_at, ends_at)."""

    id: str
    matchers: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime
    author: str
    comment: str
    created_at: datetime

    def covers(self, labels: Mapping[str, str]) -> bool:
        """Whether an incident with these labels (and its rule, rule_id and severity among them) is meant."""
        return all(fnmatchcase(labels.get(name, ""), pattern) for name, pattern in self.matchers.items())


def page(
    store: Store, now: datetime, *, states: Collection[str] = (), before: str = "", limit: int = 50
) -> list[dict[str, Any]]:
    """Silences as plain rows, newest first, those in `states` at `now` (none: any); `before` is the last id seen."""
    found = rows.page(store, now, states=states, before=before, limit=limit)
    return [{**row, "matchers": orjson.loads(row["matchers"])} for row in found.iter_rows(named=True)]


def at(store: Store, instant: datetime) -> tuple[Silence, ...]:
    """Silences in force at an instant."""
    return tuple(from_row(row) for row in rows.at(store, instant))


def create(
    store: Store,
    matchers: Mapping[str, str],
    *,
    ends_at: datetime,
    by: str,
    starts_at: datetime | None = None,
    comment: str = "",
    now: datetime | None = None,
) -> Silence:
    """Begin a silence, now or at `starts_at`; RuleError for one that matches everything or has no time."""
    present = now or clock()
    start = starts_at or present
    if not matchers:
        raise RuleError([Fault("matchers", "needs at least one: without any it would hide everything")])
    if ends_at <= present:
        raise RuleError([Fault("ends_at", "must lie in the future")])
    if ends_at <= start:
        raise RuleError([Fault("ends_at", "must be later than starts_at")])
    packed = orjson.dumps(dict(matchers)).decode()
    row = SilenceRow(new_id(), packed, start, ends_at, by, comment, present)
    detail = {"matchers": dict(matchers), "ends_at": ends_at}
    store.transact([rows.adding(row), entry(by, "create", "silence", row.id, at=present, detail=detail)])
    return from_row(row)


def end(store: Store, silence_id: str, *, by: str, now: datetime | None = None) -> Silence:
    """End a silence now; raises NotFound, or Refused when it is over already."""
    present = now or clock()
    if rows.by_id(store, silence_id) is None:
        raise NotFound(f"there is no silence {silence_id!r}")
    try:
        store.transact([rows.ending(silence_id, present), entry(by, "end", "silence", silence_id, at=present)])
    except ConflictError as error:
        raise Refused("the silence is over already") from error
    row = rows.by_id(store, silence_id)
    if row is None:
        raise NotFound(f"there is no silence {silence_id!r}")
    return from_row(row)


def from_row(row: SilenceRow) -> Silence:
    """The silence that a row describes."""
    matchers = orjson.loads(row.matchers)
    return Silence(row.id, matchers, row.starts_at, row.ends_at, row.author, row.comment, row.created_at)
