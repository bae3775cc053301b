"""Where a store listens, as Flight writes it."""

import os
from pathlib import Path
from urllib.parse import quote

from pyarrow import flight

from data.config import SOCKET_PATH_LIMIT
from data.errors import StoreUnavailable


def unix_location(socket: Path) -> flight.Location:
    """A Unix socket. Raises `StoreUnavailable` when the path is too long for one."""
    path = str(socket)
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        raise StoreUnavailable(
            f"the socket path {path} is longer than {SOCKET_PATH_LIMIT} bytes; choose a shorter home folder",
        )
    # quoted twice: Arrow reads it as a URI, and hands gRPC the path in another one
    return flight.Location(f"grpc+unix://{quote(quote(path))}")


def tcp_location(address: str) -> flight.Location:
    """A `host:port`, unencrypted: for loopback or a network that is trusted."""
    return flight.Location(f"grpc://{address}")
