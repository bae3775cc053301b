"""Whom a conversation's calls are made for: what its creator showed, in memory for as long as it runs."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from multidict import CIMultiDict

#: Where clients of Anthropic's protocol, and of this gateway, put what they are let in by.
_NAMES: Final = ("x-api-key", "authorization", "x-claude-proxy-key")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Headers that hold secrets: never stored, logged or shown."""

    headers: CIMultiDict[str] = field(repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return what must not be in any text."""
        values = [*self.headers.values(), *(value.partition(" ")[2].strip() for value in self.headers.values())]
        return tuple(sorted(filter(None, values), key=len, reverse=True))


def credentials(headers: Mapping[str, str], api_token: str) -> Credentials:
    """Return what a request shows, without the API's own token, which is for this proxy and not for a provider."""
    shown = ((name, headers.get(name, "")) for name in _NAMES)
    return Credentials(CIMultiDict([(name, value) for name, value in shown if value and not _is(value, api_token)]))


def _is(value: str, api_token: str) -> bool:
    shown = value.partition(" ")[2].strip() or value
    return bool(api_token) and hmac.compare_digest(_bytes(shown), _bytes(api_token))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
