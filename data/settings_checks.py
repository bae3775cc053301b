"""What can be wrong with a configuration, told in plain words and without repeating what could be a secret.

The checks read the raw tree, so that a fault of one setting hides none of another's.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from data.config import SOCKET_PATH_LIMIT, Config, Port

Tree = dict[str, Any]
Place = tuple[int | str, ...]
REFERENCES = ("env:", "file:")
PATTERNS: Mapping[int | str, str] = {
    "base_url": "must be an http:// or https:// address",
    "memory_limit": 'must be a size such as "4GB"',
    "tcp": 'must be "host:port", or empty',
}
#: Settings of a provider whose values are shown; a key may stand by mistake wherever else it is written.
_SHOWN_OF_PROVIDERS = frozenset({"protocol", "base_url"})
_PORT = TypeAdapter(Port)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the value at `place`; `other` is the setting that it disagrees with, if any."""

    place: Place
    said: str
    other: Place = ()


def plain(fault: ErrorDetails) -> Fault:
    """A validator's fault in plain words."""
    place, said = fault["loc"], fault["msg"]
    match fault["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return Fault(place, "no such setting")
        case "missing" | "missing_argument":
            return Fault(place, "is missing")
        case "string_pattern_mismatch":
            said = PATTERNS.get(place[-1], said)
    shown = f" (got {str(fault['input'])[:80]!r})" if _may_be_shown(place, fault["input"]) else ""
    return Fault(place, f"{said[0].lower()}{said[1:]}{shown}")


def _may_be_shown(place: Place, value: object) -> bool:
    if not isinstance(value, str | int | float):
        return False
    if place[0] == "providers":
        return place[-1] in _SHOWN_OF_PROVIDERS and "@" not in str(value)
    return place[-1] != "public_url" or "@" not in str(value)


def _tables(tree: Tree, name: str) -> Iterator[tuple[int | str, Tree]]:
    """The tables in a list or a table, as far as they are any."""
    found = tree.get(name)
    items = found.items() if isinstance(found, dict) else enumerate(found if isinstance(found, list) else ())
    yield from ((key, item) for key, item in items if isinstance(item, dict))


def _route_faults(tree: Tree) -> Iterator[Fault]:
    providers = tree.get("providers")
    known = list(providers) if isinstance(providers, dict) else []
    for index, route in _tables(tree, "routes"):
        named = route.get("provider")
        if isinstance(named, str) and named not in known:
            listed = ", ".join(known) or "none is configured"
            yield Fault(("routes", index, "provider"), f"no provider {named!r} (known: {listed})")


def _secret_faults(tree: Tree) -> Iterator[Fault]:
    for name, provider in _tables(tree, "providers"):
        key = provider.get("api_key")
        if key and isinstance(key, str) and not key.startswith(REFERENCES):
            said = 'write "env:NAME" or "file:PATH"; a secret does not belong in this file'
            yield Fault(("providers", name, "api_key"), said)


def _address_faults(tree: Tree) -> Iterator[Fault]:
    for name, provider in _tables(tree, "providers"):
        place = ("providers", name, "base_url")
        try:
            address = urlsplit(str(provider.get("base_url", "")))
            _ = address.port
        except ValueError:
            yield Fault(place, "must be an address with a host, and a port that is a number if it has one")
            continue
        if "@" in address.netloc:
            yield Fault(place, "must not hold a user name or a password; a key is set with api_key")


def _home_faults(tree: Tree) -> Iterator[Fault]:
    config = Config(home=Path(tree["home"]))
    if len(bytes(config.socket)) > SOCKET_PATH_LIMIT:
        said = f"{config.home} is too long to hold a Unix socket ({SOCKET_PATH_LIMIT} bytes); name a shorter one"
        yield Fault(("home",), said)
    elif config.home.exists() and not config.home.is_dir():
        yield Fault(("home",), f"{config.home} is not a folder")


def _port_faults(tree: Tree) -> Iterator[Fault]:
    usual = Config(home=Path(tree["home"]))
    used: dict[int, Place] = {}
    for name, section in (("proxy", usual.proxy), ("worker", usual.worker), ("ui", usual.ui)):
        place, written = (name, "port"), tree.get(name, {})
        try:
            port = _PORT.validate_python(written.get("port", section.port) if isinstance(written, dict) else None)
        except ValidationError:
            continue  # it is told where the tree is validated
        if port and port in used:
            yield Fault(place, f"{port} is taken by", used[port])
        used.setdefault(port, place)


CHECKS: tuple[Callable[[Tree], Iterator[Fault]], ...] = (
    _route_faults,
    _secret_faults,
    _address_faults,
    _home_faults,
    _port_faults,
)
