"""Rules out of the store into text and back: an import knows a rule by its name, and is done whole or not at all."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from data.queries import rules as rows
from data.queries.rules import RuleRow
from data.store import Store
from engine import rule_files, rules
from engine.audit import clock
from engine.errors import EngineError, Fault, RuleError
from engine.rule import kept, to_json
from engine.rule_changes import Prepared, check_owner, commit, creating, editing, persistent, unknown_channels
from engine.rule_files import Draft
from engine.rules import Stored


class Fate(StrEnum):
    """What an import does with a rule."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Imported:
    """One rule of an import; `id` is '' for one that a trial run would create."""

    name: str
    fate: Fate
    place: str
    id: str = ""


def export(found: Iterable[Stored]) -> str:
    """The rules as YAML, one document each; one that cannot be read (any more) is named in a comment before them."""
    every = list(found)
    said = "".join(f"# left out: {line}\n" for line in unreadable(every))
    return said + rule_files.joined(one(rule) for rule in every if not rule.fault)


def unreadable(found: Iterable[Stored]) -> list[str]:
    """Which of these cannot be read (any more), and why, a line each."""
    return [" ".join(f"the rule {rule.name!r} cannot be read: {rule.fault}".split()) for rule in found if rule.fault]


def one(rule: Stored) -> str:
    """One rule as YAML."""
    return rule_files.written(kept(rule.document), enabled=rule.enabled)


def export_from(store: Store) -> str:
    """All rules as YAML, by name."""
    return export(rules.every(store))


@persistent
def bring(
    store: Store, drafts: Sequence[Draft], *, by: str, dry_run: bool = False, at: datetime | None = None
) -> list[Imported]:
    """Create the rules that no stored one has the name of, change the others; all or none.

    `dry_run` says what would be done, and does nothing. Raises RuleError with every fault, each with its place, and
    StaleVersion when the rules keep being changed at the same time.
    """
    stored = _by_name(rows.every(store))
    faults = rule_files.twice(drafts)
    for draft in drafts:
        faults += rule_files.at(draft.place, _faults(store, draft, stored.get(draft.rule.name, [])))
    if faults:
        raise RuleError(faults)
    now = at or clock()
    made = [
        prepared(store, draft, next(iter(stored.get(draft.rule.name, [])), None), by=by, at=now) for draft in drafts
    ]
    if not dry_run:
        commit(store, [change for _, change in made if change])
    return [_imported(draft, fate, change, dry_run=dry_run) for draft, (fate, change) in zip(drafts, made, strict=True)]


def prepared(
    store: Store, draft: Draft, old: RuleRow | None, *, by: str, at: datetime, provisioned_from: str = ""
) -> tuple[Fate, Prepared | None]:
    """What makes the stored rule be as the file says, if it is not so already."""
    if old is None:
        enabled = draft.enabled is not False
        made = creating(draft.rule, by=by, at=at, enabled=enabled, provisioned_from=provisioned_from)
        return Fate.CREATED, made
    # a file that does not say so has no opinion, but one that provides its rules does
    enabled = draft.enabled if draft.enabled is not None else old.enabled or bool(provisioned_from)
    if _same(draft, old) and enabled == old.enabled and provisioned_from == old.provisioned_from:
        return Fate.UNCHANGED, None
    made = editing(store, old, draft.rule, by=by, at=at, enabled=enabled, provisioned_from=provisioned_from)
    return Fate.UPDATED, made


def _same(draft: Draft, old: RuleRow) -> bool:
    try:
        return to_json(kept(old.document)) == to_json(draft.rule)
    except RuleError:
        return False


def _faults(store: Store, draft: Draft, known: Sequence[RuleRow]) -> Iterable[Fault]:
    yield from unknown_channels(store, draft.rule)
    if len(known) > 1:
        yield Fault("name", f"there are {len(known)} rules of the name {draft.rule.name!r}; rename or delete one")
    for row in known:
        try:
            check_owner(row)
        except EngineError as error:
            yield Fault("name", str(error))


def _by_name(found: Iterable[RuleRow]) -> Mapping[str, list[RuleRow]]:
    named: dict[str, list[RuleRow]] = {}
    for row in found:
        named.setdefault(row.name, []).append(row)
    return named


def _imported(draft: Draft, fate: Fate, change: Prepared | None, *, dry_run: bool) -> Imported:
    known = change is not None and not (dry_run and fate is Fate.CREATED)
    return Imported(draft.rule.name, fate, draft.place, change.row.id if change and known else "")
