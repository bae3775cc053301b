"""Where a store listens, as Flight writes it."""

from pathlib import Path
from urllib.parse import quote

from pyarrow import flight

from data.errors import StoreUnavailable

#: The path must fit into `sockaddr_un`.
LONGEST_SOCKET_PATH = 107


def unix_location(socket: Path) -> flight.Location:
    """A Unix socket. Raises `StoreUnavailable` when the path is too long for one."""
    path = str(socket)
    if len(path.encode()) > LONGEST_SOCKET_PATH:
        raise StoreUnavailable(
            f"the socket path {path} is longer than {LONGEST_SOCKET_PATH} bytes; choose a shorter home folder",
        )
    # quoted twice: Arrow reads it as a URI, and hands gRPC the path in another one
    return flight.Location(f"grpc+unix://{quote(quote(path))}")


def tcp_location(address: str) -> flight.Location:
    """A `host:port`, unencrypted: for loopback or a network that is trusted."""
    return flight.Location(f"grpc://{address}")
