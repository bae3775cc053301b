"""A spool's folder as such: whose it is, and the spool's name."""

import fcntl
import os
from pathlib import Path

import uuid_utils

from proxy.segment_log import sync_folder
from proxy.spool_errors import SpoolBusy


def lock_folder(folder: Path) -> int:
    """Make the folder this process's own as long as the file descriptor is open. Raises SpoolBusy."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise SpoolBusy(f"the spool in {folder} is open in another process") from error
    return descriptor


def identity(folder: Path, *, fresh: bool) -> str:
    """The spool's id. Without readable segments the sequence numbers are not known, so it gets a new one."""
    path = folder / "id"
    if not fresh and path.exists() and (known := path.read_text().strip()):
        return known
    spool_id = str(uuid_utils.uuid7())
    draft = path.with_suffix(".new")
    with draft.open("w") as file:
        file.write(spool_id)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(folder)
    return spool_id
