"""`HOME/keys.json`: the proxies' copy of the virtual keys, for when the store is away (digests only, 0600).

It also holds what was decided meanwhile: keys that are switched off, which the store has to be told of.
"""

import os
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict

from data.keys import StoredKey

Stamp = tuple[int, int]
NO_STAMP: Stamp = (0, 0)


class Decided(BaseModel):
    """A key was switched off while the store was away."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    by: str
    at: AwareDatetime

    def applied(self, key: StoredKey) -> StoredKey:
        """Return the key as it is now, whatever the store says of it."""
        return key.model_copy(update={"document": key.document.model_copy(update={"enabled": False})})


class KeyCopy(BaseModel):
    """The keys as the store told them last, and what it has to be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: tuple[StoredKey, ...] = ()
    decided: tuple[Decided, ...] = ()


def stamp_of(path: Path) -> Stamp:
    """Return what differs whenever the copy was written. Raises OSError."""
    found = path.stat()
    return found.st_mtime_ns, found.st_ino


def read_copy(path: Path) -> KeyCopy:
    """Return what the copy holds. Raises OSError, or ValueError where it is none."""
    return KeyCopy.model_validate_json(path.read_bytes())


def write_copy(path: Path, copy: KeyCopy) -> Stamp:
    """Write the copy, its owner's alone, as a whole or not at all; return its stamp. Raises OSError."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(copy.model_dump_json().encode())
    stamp = stamp_of(draft)
    draft.replace(path)
    return stamp
