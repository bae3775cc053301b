"""Which proxy runs a conversation: a name that belongs to its spool's folder, which one process at a time holds."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

import uuid_utils

from proxy.spool_errors import SpoolBusy
from proxy.spool_folder import lock_folder

_FILE: Final = "crosstalk-owner"


def owner_of(folder: Path) -> str:
    """Return the name of whoever holds this folder, which must be the caller; it stays the same for ever."""
    path = folder / _FILE
    if path.exists() and (known := path.read_text(encoding="utf-8").strip()):
        return known
    name = str(uuid_utils.uuid7())
    draft = path.with_suffix(".new")
    draft.write_text(name, encoding="utf-8")
    draft.replace(path)
    return name


def abandoned(spools: Path, names: Collection[str]) -> set[str]:
    """Return which of these are proxies of this home that do not run now. Raises OSError."""
    return {name for name, folder in _owners(spools) if name in names and not _is_held(folder)}


def _owners(spools: Path) -> Iterator[tuple[str, Path]]:
    for path in spools.glob(f"*/{_FILE}"):
        yield path.read_text(encoding="utf-8").strip(), path.parent


def _is_held(folder: Path) -> bool:
    try:
        os.close(lock_folder(folder))
    except SpoolBusy:
        return True
    return False
