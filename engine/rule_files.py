"""Rules as people keep them in files: YAML, one document a rule, as many in a file as one likes.

A document is a rule's, and may say `enabled: false` beside its fields. Files are read whole: every fault of every
document is told with its file and line.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from engine.errors import Fault, RuleError
from engine.rule import Rule, document, parse
from engine.unique_yaml import UniqueLoader

#: A file larger than this is no rule's.
LARGEST_BYTES = 1024 * 1024
ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Draft:
    """A rule as a file has it; `place` is where (`budgets.yaml:12`), `enabled` None where it does not say."""

    rule: Rule
    place: str
    enabled: bool | None = None


def read(text: str, name: str) -> list[Draft]:
    """The rules in a text; RuleError lists the faults of all its documents, each path behind its place."""
    drafts: list[Draft] = []
    faults: list[Fault] = []
    for place, raw in documents(text, name):
        try:
            drafts.append(_draft(raw, place))
        except RuleError as error:
            faults += at(place, error.faults)
    if faults:
        raise RuleError(faults)
    return drafts


def at(place: str, faults: Iterable[Fault]) -> list[Fault]:
    """The faults with the place before their paths."""
    return [Fault(f"{place} {fault.path}".strip(), fault.message) for fault in faults]


def read_file(path: Path, name: str) -> list[Draft]:
    """The rules in a file; a RuleError also for one that cannot be read."""
    return read(text_of(path, name), name)


def text_of(path: Path, name: str) -> str:
    """What stands in a file; a RuleError where it cannot be read."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise RuleError([Fault(name, f"is larger than {LARGEST_BYTES:,} bytes")])
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise RuleError([Fault(name, f"cannot be read: {error}")]) from error


def files(folder: Path) -> list[Path]:
    """The YAML files of a folder, by name; hidden ones, and folders in it, are left alone. Raises OSError."""
    found = (path for path in folder.iterdir() if path.suffix in ENDINGS and not path.name.startswith("."))
    return sorted(path for path in found if path.is_file())


def written(rule: Rule, *, enabled: bool = True) -> str:
    """One rule as a YAML document, without what is default."""
    said = document(rule)
    if not enabled:
        said = {"name": said.pop("name"), "enabled": False, **said}
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=120)


def joined(documents: Iterable[str]) -> str:
    """Several documents as one file."""
    return "---\n".join(documents)


def file_name(rule_name: str) -> str:
    """A name for a rule's own file: `High cost on OpenAI` is `high-cost-on-openai.yaml`."""
    plain = unicodedata.normalize("NFKD", rule_name).encode("ascii", "ignore").decode().lower()
    return f"{re.sub(r'[^a-z0-9]+', '-', plain).strip('-')[:80] or 'rule'}.yaml"


def twice(drafts: Iterable[Draft]) -> list[Fault]:
    """A fault for each rule whose name another one before it has."""
    first: dict[str, str] = {}
    faults = []
    for draft in drafts:
        name = draft.rule.name
        if name in first:
            faults.append(Fault(f"{draft.place} name", f"{name!r} is the name of the rule in {first[name]} too"))
        first.setdefault(name, draft.place)
    return faults


def _draft(raw: Any, place: str) -> Draft:
    if not isinstance(raw, dict):
        raise RuleError([Fault("", "must be an object with fields, not a text or a list")])
    enabled = raw.pop("enabled", None)
    if enabled is not None and not isinstance(enabled, bool):
        raise RuleError([Fault("enabled", f"must be true or false, not {enabled!r}")])
    return Draft(parse(raw), place, enabled)


def documents(text: str, name: str) -> Iterator[tuple[str, Any]]:
    """Each document that is not empty with its place, `name:line`; a RuleError for broken YAML."""
    try:
        loader = UniqueLoader(text)
        while loader.check_node() and (node := loader.get_node()):
            value = loader.construct_document(node)
            if value is not None:
                yield f"{name}:{node.start_mark.line + 1}", value
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}:{mark.line + 1}" if mark else name
        raise RuleError([Fault(place, f"is not valid YAML: {getattr(error, 'problem', None) or error}")]) from error
