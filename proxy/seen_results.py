"""Which results of batches were written down already, and of which batch: a small file that a home's proxies share.

A proxy that is killed between writing a result down and noting it here writes it down again when it is fetched
again; the store then drops it by its id.
"""

import logging
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

#: Anthropic keeps results for 29 days. OpenAI keeps files until they are deleted: results that are fetched again after
#: this time count in live figures and budgets again, and the store drops them by their ids.
_KEPT_S: Final = 60 * 24 * 3600
_BUSY_S: Final = 0.25
_FILES: Final = "CREATE TABLE IF NOT EXISTS files (file TEXT PRIMARY KEY, batch TEXT, at INTEGER) WITHOUT ROWID"
_log = logging.getLogger(__name__)


class SeenResults:
    """The ids of results that were written down. A file that does not work is as good as an empty one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._troubled = False

    @classmethod
    def open(cls, path: Path, now_s: float) -> Self:
        """Open the file, its owner's alone, and forget what is too old to come again; where it cannot be, use none."""
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            return cls(_opened(path, now_s))
        except (OSError, sqlite3.Error) as error:
            _log.warning("batch results that are fetched again after a restart are counted again: %s: %s", path, error)
            return cls(_opened(Path(":memory:"), now_s))

    def __contains__(self, number: str) -> bool:
        try:
            found = self._connection.execute("SELECT 1 FROM seen WHERE id = ?", (number,)).fetchone()
        except sqlite3.Error as error:
            self._failed(error)
            return False
        return found is not None

    def add(self, number: str, now_s: float) -> None:
        """Note that this result is written down."""
        try:
            self._connection.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (number, int(now_s)))
        except sqlite3.Error as error:
            self._failed(error)

    def tie(self, file: str, batch: str, now_s: float) -> None:
        """Note which batch a file of results is of."""
        try:
            self._connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (file, batch, int(now_s)))
        except sqlite3.Error as error:
            self._failed(error)

    def batch_of(self, file: str) -> str:
        """Return the batch that a file of results is of; '' where nobody said."""
        try:
            found = self._connection.execute("SELECT batch FROM files WHERE file = ?", (file,)).fetchone()
        except sqlite3.Error as error:
            self._failed(error)
            return ""
        return str(found[0]) if found is not None else ""

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def _failed(self, error: sqlite3.Error) -> None:
        if not self._troubled:
            _log.warning("which batch results were counted cannot be noted: %s", error)
        self._troubled = True


def _opened(path: Path, now_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, at INTEGER) WITHOUT ROWID")
        connection.execute("DELETE FROM seen WHERE at < ?", (int(now_s) - _KEPT_S,))
        connection.execute(_FILES)
        connection.execute("DELETE FROM files WHERE at < ?", (int(now_s) - _KEPT_S,))
    except BaseException:
        connection.close()
        raise
    return connection
