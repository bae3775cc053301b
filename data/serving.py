"""The life of one store process: the lock, the database, the doors, and a clean end."""

import fcntl
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pyarrow import flight

from data.config import Config
from data.database import Database
from data.errors import StoreUnavailable
from data.location import tcp_location, unix_location
from data.maintenance import Maintenance
from data.migrations import migrate
from data.server import FlightDoor
from data.service import Service
from data.tokens import Role, create_tokens

_LOOK_S = 0.2


class AlreadyServed(StoreUnavailable):
    """Another process serves this home."""


class RunningStore:
    """A store that answers from the construction's end until `stop`.

    Raises `AlreadyServed` when another process serves the same home, `StoreUnavailable` when it cannot start.
    """

    def __init__(self, config: Config) -> None:
        self._home = ExitStack()
        try:
            self._start(config)
        except BaseException:
            self._home.close()
            raise

    def _start(self, config: Config) -> None:
        _claim_folder(config.home)
        self._home.enter_context(_locked(config))
        tokens = create_tokens(config.home)
        self.database = Database(config.database, config.store)
        self._home.callback(self.database.close)
        migrate(self.database, datetime.now(UTC))
        self.service = Service(self.database, config.store)
        maintenance = Maintenance(self.database, self.service)
        self._home.callback(maintenance.stop)
        self._open_doors(config, tokens)

    def _open_doors(self, config: Config, tokens: dict[Role, str]) -> None:
        self._socket = config.socket
        self.addresses = [f"unix:{config.socket}"]
        location = unix_location(config.socket)
        config.socket.unlink(missing_ok=True)  # left by a store that was killed: the home's lock is ours now
        self._open_door(location, tokens)
        self._home.callback(config.socket.unlink, missing_ok=True)
        if config.store.tcp:
            door = self._open_door(tcp_location(config.store.tcp), tokens)
            self.addresses.append(f"tcp:{config.store.tcp.rpartition(':')[0]}:{door.port}")

    def _open_door(self, location: flight.Location, tokens: dict[Role, str]) -> FlightDoor:
        # the socket is born with these rights: there is no moment in which others may open it
        before = os.umask(0o177)
        try:
            door = FlightDoor(location, self.service, tokens)
        except OSError as error:
            raise StoreUnavailable(f"cannot listen at {location.uri.decode()}: {error}") from error
        finally:
            os.umask(before)
        self._home.callback(door.shutdown)
        return door

    def wait(self, signalled: threading.Event) -> str:
        """Block until the store should end; '' after a signal or a shutdown call, else what went wrong."""
        while not (signalled.wait(_LOOK_S) or self.service.stopping.is_set()):
            if self.database.failed.is_set():
                return "the database gave up after a fatal error; restart the store once the disk has room"
            if not self._socket.exists():
                return f"{self._socket} was removed, so nobody can reach this store; restart it"
        return ""

    def stop(self) -> None:
        """Finish the running write, refuse the rest, empty the log into the file, remove the socket, free the home."""
        self.database.end()
        self._home.close()


def _claim_folder(home: Path) -> None:
    """The home exists and is the owner's alone. A folder that others use too is refused, not taken from them."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = home.stat()
    if status.st_uid != os.geteuid() or status.st_mode & stat.S_ISVTX:
        raise StoreUnavailable(f"{home} belongs to others too; choose a folder of its own as home")
    home.chmod(0o700)


def lock_holder(config: Config) -> int:
    """The process that last took the home's lock; 0 when none is written there."""
    with suppress(OSError, ValueError):
        return int(_lock_path(config).read_text(encoding="ascii"))
    return 0


def _lock_path(config: Config) -> Path:
    return config.home / "store.lock"


@contextmanager
def _locked(config: Config) -> Iterator[None]:
    """The home's lock, for the life of the block; the system frees it when the process dies."""
    descriptor = os.open(_lock_path(config), os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyServed(
                f"a store already serves {config.home} (process {lock_holder(config)}); connect to it, or end it first",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
