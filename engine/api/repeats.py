"""Names that stand twice in one JSON object: the first of the two would be lost unseen."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from engine.errors import Fault


def repeats(text: bytes) -> list[Fault]:
    """A fault for each name that an object has more than once, in a text that is JSON; RecursionError if too deep."""
    found: list[tuple[dict[str, Any], list[str]]] = []

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        whole = dict(pairs)
        if len(whole) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            found.append((whole, [name for name, count in counts.items() if count > 1]))
        return whole

    tree = json.loads(text, object_pairs_hook=made, parse_int=str, parse_float=str)
    places = {id(item): path for item, path in _placed(tree, "")} if found else {}
    return [
        Fault(f"{places[id(item)]}.{name}".removeprefix("."), "stands there twice")
        for item, names in found
        if id(item) in places
        for name in names
    ]


def _placed(tree: Any, path: str) -> Iterator[tuple[Any, str]]:
    if isinstance(tree, Mapping):
        yield tree, path
        for name, item in tree.items():
            yield from _placed(item, f"{path}.{name}")
    elif isinstance(tree, list):
        for n, item in enumerate(tree):
            yield from _placed(item, f"{path}[{n}]")
