"""Silences: incidents whose labels match are recorded as ever, but nobody is told while the silence lasts."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

import orjson

from data.errors import ConflictError
from data.queries import silences as rows
from data.queries.silences import SilenceRow
from data.store import Store
from engine.audit import clock, entry, new_id
from engine.errors import NotFound, Refused, StaleVersion

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
    #: counts its changes
    version: int = 1

    def covers(self, labels: Mapping[str, str]) -> bool:
        """Whether an incident with these labels (and its rule, rule_id and severity among them) is meant."""
        return all(fnmatchcase(labels.get(name, ""), pattern) for name, pattern in self.matchers.items())


def page(
    store: Store, now: datetime, *, states: Collection[str] = (), text: str = "", before: str = "", limit: int = 50
) -> list[dict[str, Any]]:
    """Silences as plain rows, newest first, those in `states` at `now` (none: any) that hold the text.

    `before` is the last id already seen.
    """
    found = rows.page(store, now, states=states, text=text, before=before, limit=limit)
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
    """Begin a silence, now or at `starts_at`; raises Refused for one that matches everything or has no time."""
    present = now or clock()
    start = starts_at or present
    _check(matchers, start, ends_at, present)
    packed = orjson.dumps(dict(matchers)).decode()
    row = SilenceRow(new_id(), packed, start, ends_at, by, comment, present)
    detail = {"matchers": dict(matchers), "ends_at": ends_at}
    store.transact([rows.adding(row), entry(by, "create", "silence", row.id, at=present, detail=detail)])
    return from_row(row)


def get(store: Store, silence_id: str) -> Silence:
    """One silence; raises NotFound."""
    return from_row(_row(store, silence_id))


def change(
    store: Store,
    silence_id: str,
    *,
    by: str,
    matchers: Mapping[str, str] | None = None,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    comment: str | None = None,
    version: int | None = None,
    now: datetime | None = None,
) -> Silence:
    """Let a silence end at another time, or say something else; None: as it is.

    Matchers and start can change until it begins: whom it has kept quiet since is on record. A start that has passed is
    now. Raises NotFound, StaleVersion when it is not at `version` any more, or Refused for one that is over, begun,
    matches everything or has no time.
    """
    present, old = now or clock(), _expected(store, silence_id, version)
    if old.ends_at <= present:
        raise Refused("the silence is over; begin another")
    packed = old.matchers if matchers is None else orjson.dumps(dict(matchers)).decode()
    start = old.starts_at if starts_at in {None, old.starts_at} else max(starts_at or present, present)
    row = replace(old, matchers=packed, starts_at=start, ends_at=ends_at or old.ends_at, version=old.version + 1)
    row = row if comment is None else replace(row, comment=comment)
    begun = old.starts_at <= present
    if begun and (row.starts_at != old.starts_at or orjson.loads(packed) != orjson.loads(old.matchers)):
        raise Refused("the silence has begun: whom it has kept quiet is on record; end it and begin another")
    _check(orjson.loads(packed), start, row.ends_at, present)
    return _store(store, row, by, "update", present)


def end(store: Store, silence_id: str, *, by: str, version: int | None = None, now: datetime | None = None) -> Silence:
    """End a silence now; raises NotFound, Refused when it is over already, or StaleVersion."""
    present, old = now or clock(), _expected(store, silence_id, version)
    if old.ends_at <= present:
        raise Refused("the silence is over already")
    return _store(store, replace(old, ends_at=present, version=old.version + 1), by, "end", present)


def _check(matchers: Mapping[str, str], start: datetime, ends_at: datetime, now: datetime) -> None:
    if not matchers:
        raise Refused("a silence needs a matcher: without one it would hide everything")
    if ends_at <= max(start, now):
        raise Refused("a silence must end in the future and after it starts")


def _row(store: Store, silence_id: str) -> SilenceRow:
    row = rows.by_id(store, silence_id)
    if row is None:
        raise NotFound(f"there is no silence {silence_id!r}")
    return row


def _expected(store: Store, silence_id: str, version: int | None) -> SilenceRow:
    row = _row(store, silence_id)
    if version not in {None, row.version}:
        raise StaleVersion(
            f"the silence is at version {row.version}, not {version}: somebody changed it; read it again",
            current=row.version,
        )
    return row


def _store(store: Store, row: SilenceRow, by: str, action: str, at: datetime) -> Silence:
    silence = from_row(row)
    said = {name: getattr(silence, name) for name in ("matchers", "starts_at", "ends_at", "comment", "version")}
    try:
        store.transact([rows.replacing(row), entry(by, action, "silence", row.id, at=at, detail=said)])
    except ConflictError as error:
        raise StaleVersion("the silence was changed meanwhile; read it again") from error
    return silence


def from_row(row: SilenceRow) -> Silence:
    """The silence that a row describes."""
    matchers = orjson.loads(row.matchers)
    return Silence(row.id, matchers, row.starts_at, row.ends_at, row.author, row.comment, row.created_at, row.version)
