"""Where the proxies of a home meet for their keys' limits: a lock of each that lives, and the file they share."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data import limit_file
from data.errors import LimitsDamaged, LimitsUnknown
from data.limit_file import Execute, LimitFile, Mode
from data.one_at_a_time import alone


class LimitHome:
    """One proxy's place there, `name` being no other's that lives. The kernel lets go of its lock however it ends."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._folder = folder
        self._lock: int | None = None
        self._file: LimitFile | None = None

    def open(self) -> None:
        """Take the place, if it is not taken yet. Raises LimitsUnknown."""
        if self._file is not None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = self._lock if self._lock is not None else _locked(self._path_of(self.name))
            if self._lock is None:
                raise LimitsUnknown(f"another process is {self.name} in {self._folder}")
            with alone(self._folder / "opening"):
                self._file = self._opened()
        except OSError as error:
            raise LimitsUnknown(f"what keys have used cannot be shared in {self._folder}: {error}") from error

    def close(self) -> None:
        """Let go of it."""
        if self._file is not None:
            self._file.close()
        if self._lock is not None:
            os.close(self._lock)
        self._file = self._lock = None

    @contextmanager
    def transaction(self) -> Iterator[Execute]:
        """One transaction, alone among all proxies; it gives what executes SQL. Raises LimitsUnknown."""
        with self._here().transaction() as execute:
            yield execute

    def others(self) -> dict[str, Mode]:
        """How each other proxy counts. Raises LimitsUnknown."""
        return self._here().others(self.name)

    def sweep(self) -> None:
        """Take those out of the file that are gone: nobody becomes one of them meanwhile. Raises LimitsUnknown."""
        for name in self.others():
            try:
                lock = _locked(self._path_of(name))
            except OSError as error:
                raise LimitsUnknown(f"whether the proxy {name} lives cannot be told: {error}") from error
            if lock is None:
                continue
            try:
                with self.transaction() as execute:
                    limit_file.leave(execute, name)
            finally:
                os.close(lock)

    def _here(self) -> LimitFile:
        if self._file is None:
            raise LimitsUnknown("what keys have used is not shared now")
        return self._file

    def _opened(self) -> LimitFile:
        """The file; a new one in place of one that is damaged, where nobody else uses it."""
        path = self._folder / "limits.sqlite"
        try:
            return LimitFile.open(path)
        except LimitsDamaged:
            if self._has_company():
                raise
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            return LimitFile.open(path)

    def _has_company(self) -> bool:
        """Whether another proxy lives, by the locks alone."""
        for path in self._folder.glob("*.lock"):
            if path != self._path_of(self.name):
                lock = _locked(path)
                if lock is None:
                    return True
                os.close(lock)
        return False

    def _path_of(self, name: str) -> Path:
        return self._folder / f"{name}.lock"


def _locked(path: Path) -> int | None:
    """Lock a file as long as what is returned is open; None where another process has. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
