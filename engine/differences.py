"""What is different between two documents, field by field. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Difference:
    """One field (`when.all[0].value`) that was and is something else; None where there was or is no such field."""

    path: str
    old: Any
    new: Any


def differences(old: Any, new: Any, path: str = "") -> Iterator[Difference]:
    """Every difference, in the documents' order: those of `old` first."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys([*old, *new]):
            yield from differences(old.get(name), new.get(name), f"{path}.{name}".removeprefix("."))
    elif _listed(old) and _listed(new):
        for n in range(max(len(old), len(new))):
            yield from differences(_at(old, n), _at(new, n), f"{path}[{n}]")
    elif old != new or isinstance(old, bool) is not isinstance(new, bool):
        yield Difference(path, old, new)


def _listed(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _at(values: Any, n: int) -> Any:
    return values[n] if n < len(values) else None
