"""Rules that files provide: a folder's YAML is what is stored, and nobody else changes it.

Files win. A rule of a file takes over the stored one of its name; one that no file has any more is deleted, as its
incidents end and whoever was told is told. But nothing is lost by a slip: a file with a fault changes none of its
rules, and as long as any file has one, or the folder is not there, no rule is deleted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from data.queries import rules as rows
from data.queries.rules import RuleRow
from data.store import Store
from engine import rule_files
from engine.errors import EngineError, Fault, RuleError
from engine.rule_changes import commit, persistent, removing, unknown_channels
from engine.rule_files import Draft
from engine.rule_transfer import prepared

ACTOR = "provisioning"


@dataclass(frozen=True, slots=True)
class FileFault:
    """Why a file's rules are not as it says: its name ('' for the folder itself), where in it, and what is wrong."""

    file: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path or self.file}: {self.message}".removeprefix(": ")


@dataclass(frozen=True, slots=True)
class Folder:
    """What a folder holds: the rules of each file that has no fault, and the faults. `there`: whether it exists."""

    drafts: Mapping[str, Sequence[Draft]] = field(default_factory=dict)
    faults: tuple[FileFault, ...] = ()
    there: bool = True


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done: how many rules were changed, how many files provide, and what stood in the way."""

    changed: int
    files: int
    faults: tuple[FileFault, ...]


def look(folder: Path) -> Folder:
    """Read every file of the folder."""
    try:
        paths = rule_files.files(folder)
    except FileNotFoundError:
        return Folder(there=False)
    except OSError as error:
        return Folder(faults=(FileFault("", "", f"the folder {folder} cannot be read: {error}"),), there=False)
    drafts: dict[str, Sequence[Draft]] = {}
    faults: list[FileFault] = []
    for path in paths:
        try:
            drafts[path.name] = rule_files.read_file(path, path.name)
        except RuleError as error:
            faults += _of_file(path.name, error.faults)
    for fault in rule_files.twice(draft for found in drafts.values() for draft in found):
        name = fault.path.partition(":")[0]
        faults += _of_file(name, [fault])
        drafts.pop(name, None)
    return Folder(drafts, tuple(faults))


def apply(store: Store, folder: Folder, at: datetime) -> Applied:
    """Make the stored rules be as the files say, a file at a time; raises the store's errors."""
    stored = rows.every(store)
    provided = [row for row in stored if row.provisioned_from]
    faults = list(folder.faults)
    if not folder.there:
        return Applied(0, 0, tuple(faults) or _missing(provided))
    changed = 0
    for name, drafts in folder.drafts.items():
        try:
            changed += _apply_file(store, name, drafts, stored, at)
        except RuleError as error:
            faults += _of_file(name, error.faults)
        except EngineError as error:
            faults += _of_file(name, [Fault(name, str(error))])
    if not faults:
        names = {draft.rule.name for drafts in folder.drafts.values() for draft in drafts}
        changed += _remove(store, [row for row in provided if row.name not in names], at)
    return Applied(changed, len(folder.drafts), tuple(faults))


@persistent
def _apply_file(store: Store, name: str, drafts: Sequence[Draft], stored: Sequence[RuleRow], at: datetime) -> int:
    faults: list[Fault] = []
    for draft in drafts:
        faults += rule_files.at(draft.place, unknown_channels(store, draft.rule))
    olds = [_old(draft, stored, faults) for draft in drafts]
    if faults:
        raise RuleError(faults)
    made = [
        prepared(store, draft, old, by=ACTOR, at=at, provisioned_from=name)[1]
        for draft, old in zip(drafts, olds, strict=True)
    ]
    changes = [change for change in made if change]
    commit(store, changes)
    return len(changes)


def _old(draft: Draft, stored: Sequence[RuleRow], faults: list[Fault]) -> RuleRow | None:
    """The stored rule that the file's is: one that files provide before one made by hand."""
    named = [row for row in stored if row.name == draft.rule.name]
    found = [row for row in named if row.provisioned_from] or named
    if len(found) > 1:
        faults.append(Fault(f"{draft.place} name", f"{len(found)} stored rules have the name {draft.rule.name!r}"))
    return found[0] if found else None


@persistent
def _remove(store: Store, gone: Sequence[RuleRow], at: datetime) -> int:
    commit(store, [removing(store, row, by=ACTOR, at=at, provisioned_from=row.provisioned_from) for row in gone])
    return len(gone)


def _missing(provided: Sequence[RuleRow]) -> tuple[FileFault, ...]:
    if not provided:
        return ()
    return (FileFault("", "", f"the folder of rules is gone; the {len(provided)} rules it provided stay as they are"),)


def _of_file(name: str, faults: Iterable[Fault]) -> list[FileFault]:
    return [FileFault(name, fault.path, fault.message) for fault in faults]
