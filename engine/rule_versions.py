"""What a rule said before: its versions, what is different between two, and the way back to one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from data.queries import rules as rows
from data.store import Store
from engine import rules
from engine.audit import clock
from engine.differences import Difference, differences
from engine.errors import NotFound, RuleError
from engine.rule import document, kept, parse
from engine.rule_changes import commit, editing, persistent, taken_name, unknown_channels
from engine.rules import Stored


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a rule; `changes` is what it made different from the one before."""

    version: int
    changed_at: datetime
    changed_by: str
    document: Mapping[str, Any]
    changes: tuple[Difference, ...]


def every(store: Store, rule_id: str, *, before: int | None = None, limit: int | None = None) -> list[Version]:
    """Versions, newest first, also of a rule that is deleted; raises NotFound where there never was one.

    They are those before `before` (None: from the newest), without a limit all. Switching a rule on or off makes a
    version without changes.
    """
    found = rows.versions(store, rule_id, before=before, limit=None if limit is None else limit + 1).to_dicts()
    if not found and (before is None or rows.versions(store, rule_id, limit=1).is_empty()):
        raise NotFound(f"there is no rule {rule_id!r}")
    documents = [_plain(row["document"]) for row in found]
    earlier = [*documents, {}][1:]
    return [
        Version(
            version=row["version"],
            changed_at=row["changed_at"],
            changed_by=row["changed_by"],
            document=now,
            changes=tuple(differences(then, now)) if then else (),
        )
        for row, now, then in zip(found, documents, earlier, strict=True)
    ][:limit]


def between(store: Store, rule_id: str, old: int, new: int) -> list[Difference]:
    """What is different in version `new`, compared with `old`; raises NotFound."""
    return list(differences(_document(store, rule_id, old), _document(store, rule_id, new)))


@persistent
def rollback(
    store: Store, rule_id: str, to: int, *, by: str, version: int | None = None, at: datetime | None = None
) -> Stored:
    """Let the rule say again what it said in version `to`, as a new version; it stays switched on or off as it is.

    Raises NotFound, StaleVersion when the rule is not at `version` any more, RuleError where the old document is none
    today (a channel is gone, a field has another meaning), and Refused where a file provides the rule.
    """
    row = rules.expected(store, rule_id, version)
    rule = parse(_document(store, rule_id, to))
    if wrong := (*taken_name(store, rule, row), *unknown_channels(store, rule)):
        raise RuleError(wrong)
    made = editing(store, row, rule, by=by, at=at or clock(), action=f"rollback to {to}")
    commit(store, [made])
    return rules.present(store, made.row)


def _document(store: Store, rule_id: str, number: int) -> dict[str, Any]:
    text = rows.version(store, rule_id, number)
    if text is None:
        raise NotFound(f"there is no version {number} of the rule {rule_id!r}")
    return _plain(text)


def _plain(text: str) -> dict[str, Any]:
    """The document as it would be written today, where it is one; as it was stored, where not."""
    raw: dict[str, Any] = orjson.loads(text)
    try:
        return document(kept(raw))
    except RuleError:
        return raw
