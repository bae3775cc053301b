"""What to say about a name that is not known."""

import difflib
from collections.abc import Iterable


def unknown(what: str, name: str, known: Iterable[str], *, few: bool = False) -> str:
    """The message: the nearest known names, or all of them where none is near (`few`: then none)."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return f"unknown {what} {name!r}; did you mean {' or '.join(near)}?"
    return f"unknown {what} {name!r}" if few else f"unknown {what} {name!r}; there is {', '.join(names)}"
