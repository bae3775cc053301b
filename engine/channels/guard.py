"""Keeps outgoing messages off internal addresses (server-side request forgery), checked where the socket is made.

Checking the address that is about to be connected to, instead of the name, leaves no gap for a name that
resolves differently the second time.
"""

import asyncio
import ipaddress
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
#: Nowhere public although `is_global` says so: old wrappings of IPv4 (RFC 4291, 2765), local NAT64 (RFC 8215),
#: site-local (RFC 3879) and segment routing (RFC 9602).
_NOT_PUBLIC = tuple(
    ipaddress.IPv6Network(text) for text in ("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "fec0::/10", "5f00::/16")
)


class BlockedAddress(Exception):
    """The address is loopback, link-local, private or otherwise not public."""


class BlockedConnection(BlockedAddress, OSError):
    """The same to code that clears up after an OSError of its socket."""


def is_public(text: str) -> bool:
    """Whether an IP address (with or without zone) is reachable on the public internet, seen through IPv6 wrappings."""
    address = _unwrapped(ipaddress.ip_address(text.partition("%")[0]))
    return address.is_global and not address.is_multicast and not any(address in network for network in _NOT_PUBLIC)


def _unwrapped(address: IPAddress) -> IPAddress:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


def require_public(host: str) -> None:
    """Raise BlockedAddress unless `host`, a literal address, is public."""
    if not is_public(host):
        raise BlockedAddress(f"{host} is not a public address; set allow_private on the channel to send there")


AddressInfo = tuple[int, int, int, str, tuple[object, ...]]


def guarded_socket(info: AddressInfo) -> socket.socket:
    """A socket for one address as getaddrinfo returns it; raises BlockedAddress for internal ones."""
    family, kind, proto, _, address = info
    require_public(str(address[0]))
    return socket.socket(family, kind, proto)


async def connect(host: str, port: int, *, allow_private: bool) -> socket.socket:
    """A connected non-blocking TCP socket to the first address of `host` that answers.

    Raises BlockedAddress when any of its addresses is internal and that is not allowed, OSError when none answers.
    """
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if not allow_private:
        for info in infos:
            require_public(str(info[4][0]))
    fault: OSError = OSError(f"{host} has no address")
    for family, kind, proto, _, address in infos:
        made = socket.socket(family, kind, proto)
        made.setblocking(False)
        try:
            await loop.sock_connect(made, address)
        except OSError as error:
            made.close()
            fault = error
        except BaseException:
            made.close()
            raise
        else:
            return made
    raise fault


_refusals: ContextVar[list[str] | None] = ContextVar("refusals", default=None)
_SENDING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})


@contextmanager
def guarding() -> Iterator[list[str]]:
    """For code that makes its own sockets: in this context none of them reaches an internal address.

    Gives the list that the refusals are added to: such code tends to swallow the BlockedConnection that it runs into.
    """
    _watch()
    refusals: list[str] = []
    token = _refusals.set(refusals)
    try:
        yield refusals
    finally:
        _refusals.reset(token)


@cache
def _watch() -> None:
    """Look at every connection of this process from now on; a hook cannot be taken off again (PEP 578)."""
    sys.addaudithook(_seen)


def _seen(event: str, arguments: tuple[object, ...]) -> None:
    if event not in _SENDING:
        return
    refusals = _refusals.get()
    if refusals is None:
        return
    address = arguments[1]
    host = str(address[0]) if isinstance(address, tuple) else ""
    try:
        require_public(host)
    except (BlockedAddress, ValueError) as error:
        refusals.append(str(error) if host else "only addresses of the public internet are sent to")
        raise BlockedConnection(refusals[-1]) from error
