"""Addresses that people may see, with the values in their query masked: they are often tokens. Pure."""

from urllib.parse import unquote

from engine.secrets import MASK

#: Shorter values are words that stand elsewhere, too.
_TOKEN = 8


def veiled(url: str) -> str:
    """The address with every value of its query masked: `https://hook.example/x?token=••••••••`."""
    return _with_query(url, [f"{name}{equals}{MASK}" if equals else MASK for name, equals, _ in _parts(url)])


def unveiled(url: str, kept: str) -> str:
    """An address as it was shown, maybe with changes, with the values of the one it was shown of where it masks them.

    Only for the same server: no other is told them. What masks a value that there is none for stays as it is.
    """
    if not masks(url) or _server(url) != _server(kept):
        return url
    known = {name if equals else "": value if equals else name for name, equals, value in _parts(kept)}
    return _with_query(url, [_filled(*part, known) for part in _parts(url)])


def masks(url: str) -> bool:
    """Whether a value of its query is masked."""
    return any(unquote(value if equals else name) == MASK for name, equals, value in _parts(url))


def hidden(url: str) -> list[str]:
    """The values as long as a token, as they are written and as they are meant."""
    values = [value if equals else name for name, equals, value in _parts(url)]
    return list(dict.fromkeys(each for value in values for each in (value, unquote(value)) if len(each) >= _TOKEN))


def _filled(name: str, equals: str, value: str, known: dict[str, str]) -> str:
    if unquote(value if equals else name) != MASK:
        return f"{name}{equals}{value}"
    return f"{name}={known.get(name, value)}" if equals else known.get("", name)


def _server(url: str) -> str:
    return "/".join(url.split("/", 3)[:3]).partition("?")[0].lower()


def _parts(url: str) -> list[tuple[str, str, str]]:
    query = url.partition("#")[0].partition("?")[2]
    return [part.partition("=") for part in query.split("&")] if query else []


def _with_query(url: str, parts: list[str]) -> str:
    address, sharp, fragment = url.partition("#")
    place, mark, _ = address.partition("?")
    return f"{place}{mark}{'&'.join(parts)}{sharp}{fragment}"
