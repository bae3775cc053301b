"""What is wrong with a configuration, and where."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Tree = dict[str, Any]
Place = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the value at `place`; `other` is the setting that it disagrees with, if any."""

    place: Place
    said: str
    other: Place = ()


def tables(tree: Tree, name: str) -> Iterator[tuple[int | str, Tree]]:
    """The tables in a list or a table, as far as they are any."""
    found = tree.get(name)
    items = found.items() if isinstance(found, dict) else enumerate(found if isinstance(found, list) else ())
    yield from ((key, item) for key, item in items if isinstance(item, dict))
