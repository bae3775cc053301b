"""Before anything starts: whether the home is free, and the ports are.

`claude-proxy up` holds a lock on its home for its life. A store that somebody started alone (`claude-proxy query` and
the app do, where none runs) makes way for the one that `up` watches.
"""

import fcntl
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from app.stack import reachable
from data.config import Config
from data.errors import StoreError
from data.settings import default_home
from data.store import connect

MAKE_WAY_S = 20.0


class Occupied(Exception):
    """The home or a port is used for something else, or cannot be used; the message says by what and what to do."""


def demo_home() -> Path:
    """The home of a demo that is given none."""
    return default_home().with_name(f"{default_home().name}-demo")


@contextmanager
def held(config: Config, ports: Mapping[str, tuple[str, int]], *, demo: bool = False) -> Iterator[None]:
    """Hold the home while the programs run. `ports`: the option that sets a port → its host and number.

    A home has a demo's made-up traffic or real traffic, for good. Raises `Occupied`, before anything has been started.
    """
    for option, (host, port) in ports.items():
        if port and not _free(reachable(host), port):
            raise Occupied(f"port {port} is taken by another program; end it, or choose another port with {option}")
    lock = _locked(config.home)
    try:
        _keep_apart(config, demo=demo)
        _make_way(config)
        yield
    finally:
        os.close(lock)


def _free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _locked(home: Path) -> int:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(home / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Occupied(f"the home {home} cannot be used ({error.strerror}); name another with --home") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.read(lock, 20).decode(errors="replace").strip()
        os.close(lock)
        raise Occupied(f"claude-proxy up runs on {home} already (process {owner}); end that one first") from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _keep_apart(config: Config, *, demo: bool) -> None:
    mark = config.home / "made-up"
    made_up = mark.exists() or config.home == demo_home()
    if demo and not made_up and config.database.exists():
        raise Occupied(f"the home {config.home} is not a demo's, whose traffic is made up; name another with --home")
    if made_up and not demo:
        raise Occupied(f"the home {config.home} is a demo's, whose traffic is made up; name another with --home")
    if demo:
        mark.touch()


def _make_way(config: Config) -> None:
    """End a store that was started alone, and wait until it has."""
    if not config.socket.exists():
        return
    with suppress(StoreError):
        client = connect(config)
        try:
            client.shutdown()
        finally:
            client.close()
    until = time.monotonic() + MAKE_WAY_S
    while config.socket.exists() and time.monotonic() < until:
        time.sleep(0.05)
