"""Where the budgets' documents come from: the store, and a copy on this machine for when it is away."""

import fcntl
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from pydantic import ValidationError

from data.budgets import parse
from data.counters import books
from data.counters.file import CounterFile
from data.counters.rows import Document
from data.queries import budgets as queries
from data.queries.budgets import Reader

_COPY = msgspec.json.Decoder(list[Document])
_log = logging.getLogger(__name__)


class LocalCopy:
    """The documents in a file of their own, which outlives a lost or damaged counters' file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def exists(self) -> bool:
        """Whether there is a copy."""
        return self._path.exists()

    def read(self) -> list[Document]:
        """What was kept; nothing where there is no file or it cannot be read."""
        try:
            return _COPY.decode(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError):
            _log.exception("the copy of the budgets in %s cannot be read", self._path)
            return []

    def keep(self, documents: Sequence[Document]) -> None:
        """Replace it, for the owner's eyes alone. Raises OSError."""
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(documents))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One reader of the store at a time among all proxies, so that an older answer never replaces a newer one."""
        descriptor = os.open(self._path.with_name(f"{self._path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def refresh(file: CounterFile, copy: LocalCopy, store: Reader, now_us: int) -> bool:
    """Take over the store's documents; False where they are known. Raises StoreError, CountersError, OSError."""
    with copy.turn():
        documents = [Document(row.id, row.version, row.document) for row in queries.every(store)]
        changed = learn(file, documents, now_us)
        if changed or not copy.exists:
            copy.keep(documents)
    return changed


def learn(file: CounterFile, documents: Sequence[Document], now_us: int) -> bool:
    """Make documents known to all proxies of this home; False where they are. Raises CountersError."""
    return books.learn(file, [(document, _shape(document)) for document in documents], now_us)


def _shape(document: Document) -> str | None:
    """What is to be counted for it; None where nothing is: it is switched off, or cannot be read."""
    try:
        budget = parse(document.document)
    except ValidationError:
        return None
    return budget.shape if budget.enabled else None
