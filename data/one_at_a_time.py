"""What one process does at a time: by a lock file, and by a transaction of a SQLite file that several have open."""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Wait for the lock, and hold it meanwhile. Raises OSError."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def immediate(execute: Callable[..., Any]) -> Iterator[None]:
    """One writing transaction, of which all is done or nothing. Raises sqlite3.Error."""
    execute("BEGIN IMMEDIATE")
    try:
        yield
        execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            execute("ROLLBACK")
        raise
