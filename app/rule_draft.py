"""A rule while it is being edited: a tree with handles, made from a document and made into one.

A group is one of four words; `none` and `not_all` stand for a `not` around `any` and `all`, so that every document
can be shown: a `not` around a single condition is a `none` of one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from uuid_utils import uuid7

from engine.channel_store import IN_APP_NAME
from engine.levels import WARN_FIELDS

Document = dict[str, Any]
GROUP_KINDS: Mapping[str, str] = {
    "all": "All of these hold",
    "any": "Any of these holds",
    "none": "None of these holds",
    "not_all": "Not all of these hold",
}
_NEGATED = {"any": "none", "all": "not_all"}
NEW_CONDITION: Document = {"metric": "cost", "window": "1h", "op": ">", "value": 10}


def handle() -> str:
    """A new handle: the widgets of a node are named after it."""
    return uuid7().hex


@dataclass(slots=True)
class Leaf:
    """One condition; `document` is what it says now."""

    document: Document
    id: str = field(default_factory=handle)


@dataclass(slots=True)
class Group:
    """Conditions and groups under one of `GROUP_KINDS`."""

    kind: str
    members: "list[Leaf | Group]"
    id: str = field(default_factory=handle)

    def walk(self) -> "Iterator[Group]":
        """The group itself and every group below it."""
        yield self
        for member in self.members:
            if isinstance(member, Group):
                yield from member.walk()

    def leaves(self) -> Iterator[Leaf]:
        """The conditions below it, in document order."""
        for member in self.members:
            if isinstance(member, Group):
                yield from member.leaves()
            else:
                yield member


@dataclass(slots=True)
class Draft:
    """A rule in the form. `rule_id` is '' and `version` 0 for a new one; `fields` is the document without `when`."""

    root: Group
    fields: Document
    rule_id: str = ""
    version: int = 0
    id: str = field(default_factory=handle)

    def document(self) -> Document:
        """What the form says, as a rule document; what is about warnings is left out while nothing warns."""
        left_out = () if self.warns else WARN_FIELDS
        fields = {name: value for name, value in self.fields.items() if name not in left_out}
        return {**fields, "when": written(self.root)}

    @property
    def warns(self) -> bool:
        """Whether a condition has a second, milder threshold."""
        return any(leaf.document.get("warn") is not None for leaf in self.root.leaves())


def draft(document: Document, *, rule_id: str = "", version: int = 0) -> Draft:
    """The draft of a rule's document."""
    root = _read(document["when"])
    fields = {name: value for name, value in document.items() if name != "when"}
    return Draft(root if isinstance(root, Group) else Group("all", [root]), fields, rule_id, version)


def new_draft() -> Draft:
    """The draft of a rule that does not exist yet."""
    return draft({"name": "", "when": {"all": [dict(NEW_CONDITION)]}, "notify": [IN_APP_NAME]})


def written(node: "Leaf | Group") -> Document:
    """The node as it stands in a document; a group of one plain condition is still a group."""
    if isinstance(node, Leaf):
        return dict(node.document)
    members = [written(member) for member in node.members]
    if node.kind in {"all", "any"}:
        return {node.kind: members}
    return {"not": {"any" if node.kind == "none" else "all": members}}


def remove(root: Group, handle: str) -> None:
    """Take the node with this handle out of the tree; the root stays."""
    for group in root.walk():
        group.members = [member for member in group.members if member.id != handle]


def _read(node: Document) -> "Leaf | Group":
    for word in ("all", "any"):
        if word in node:
            return Group(word, [_read(member) for member in node[word]])
    if "not" not in node:
        return Leaf(dict(node))
    inner = _read(node["not"])
    if isinstance(inner, Group) and inner.kind in _NEGATED:
        return Group(_NEGATED[inner.kind], inner.members)
    return Group("none", [inner])
