"""What can be wrong with a configuration, told in plain words and without repeating what could be a secret.

The checks read the raw tree, so that a fault of one setting hides none of another's.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from data.config import SOCKET_PATH_LIMIT, Config, Port
from data.faults import Fault, Place, Tree, tables
from data.route_checks import route_faults

REFERENCES = ("env:", "file:")
#: Settings that are secrets, besides the providers' keys.
SECRETS: tuple[tuple[str, str], ...] = (
    ("proxy", "api_token"),
    ("otlp", "headers"),
    ("worker", "heartbeat_url"),
    ("worker", "secret_key"),
)
PATTERNS: Mapping[int | str, str] = {
    "base_url": "must be an http:// or https:// address",
    "memory_limit": 'must be a size such as "4GB"',
    "tcp": 'must be "host:port", or empty',
    "endpoint": "must be an http:// or https:// address",
    "cors_origins": 'must be sites such as "https://example.com", each without a path; "*" is not taken',
}
#: Settings of a provider whose values are shown; a key may stand by mistake wherever else it is written.
_SHOWN_OF_PROVIDERS = frozenset({"protocol", "base_url"})
#: Settings whose values may hold a password by mistake.
_ADDRESSES = frozenset({"public_url", "endpoint", "cors_origins"})
_PORT = TypeAdapter(Port)
_NO_ADDRESS = "must be an address with a host, and a port that is a number if it has one"


def plain(fault: ErrorDetails) -> Fault:
    """A validator's fault in plain words."""
    place, said = fault["loc"], fault["msg"]
    match fault["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return Fault(place, "no such setting")
        case "missing" | "missing_argument":
            return Fault(place, "is missing")
        case "string_pattern_mismatch":
            said = PATTERNS.get(next((part for part in reversed(place) if isinstance(part, str)), ""), said)
    shown = f" (got {str(fault['input'])[:80]!r})" if _may_be_shown(place, fault["input"]) else ""
    return Fault(place, f"{said[0].lower()}{said[1:]}{shown}")


def _may_be_shown(place: Place, value: object) -> bool:
    if not isinstance(value, str | int | float):
        return False
    if place[:2] in SECRETS:
        return False
    if place[0] == "providers":
        return place[-1] in _SHOWN_OF_PROVIDERS and "@" not in str(value)
    return _ADDRESSES.isdisjoint(place) or "@" not in str(value)


def keys_of(provider: object) -> Iterator[tuple[Place, object]]:
    """A provider's keys as they are written, each with its place below the provider."""
    if not isinstance(provider, dict):
        return
    if provider.get("api_key"):
        yield ("api_key",), provider["api_key"]
    several = provider.get("api_keys")
    if isinstance(several, list):
        yield from ((("api_keys", index), key) for index, key in enumerate(several))


def _secret_faults(tree: Tree) -> Iterator[Fault]:
    for name, provider in tables(tree, "providers"):
        for place, key in keys_of(provider):
            if isinstance(key, str) and not key.startswith(REFERENCES):
                said = 'write "env:NAME" or "file:PATH"; a secret does not belong in this file'
                yield Fault(("providers", name, *place), said)
        if provider.get("api_key") and provider.get("api_keys"):
            yield Fault(("providers", name, "api_keys"), "write either one api_key or several api_keys")


def secrets_in(tree: Tree) -> Iterator[tuple[Place, str]]:
    """The settings among SECRETS that are written, each with what is written."""
    for place in SECRETS:
        section = tree.get(place[0])
        written = section.get(place[1]) if isinstance(section, dict) else None
        if written and isinstance(written, str):
            yield place, written


def _own_secret_faults(tree: Tree) -> Iterator[Fault]:
    for place, written in secrets_in(tree):
        if not written.startswith(REFERENCES):
            yield Fault(place, 'write "env:NAME" or "file:PATH"; a secret does not belong in this file')


def _address_faults(tree: Tree) -> Iterator[Fault]:
    otlp = tree.get("otlp")
    if isinstance(otlp, dict) and not _is_address(otlp.get("endpoint", "")):
        yield Fault(("otlp", "endpoint"), _NO_ADDRESS)
    for name, provider in tables(tree, "providers"):
        place, written = ("providers", name, "base_url"), provider.get("base_url", "")
        if not _is_address(written):
            yield Fault(place, _NO_ADDRESS)
        elif "@" in urlsplit(str(written)).netloc:
            yield Fault(place, "must not hold a user name or a password; a key is set with api_key")


def _is_address(written: object) -> bool:
    try:
        _ = urlsplit(str(written)).port
    except ValueError:
        return False
    return True


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
    route_faults,
    _secret_faults,
    _own_secret_faults,
    _address_faults,
    _home_faults,
    _port_faults,
)
