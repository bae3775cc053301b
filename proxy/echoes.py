"""Keeps a provider's configured key from clients, who do not have it, where an error echoes it. Pure."""

from functools import lru_cache
from typing import Final
from urllib.parse import quote

from multidict import CIMultiDict

from proxy.held import plain_body
from proxy.secrets import MASK

#: A shorter key is in texts by chance.
_MIN_KEY: Final = 8


def without_key(body: bytes, key: str) -> bytes:
    """Return a plain body with the key masked; the same object where the key is not in it."""
    for form in _forms(key):
        if (raw := form.encode()) in body:
            body = body.replace(raw, MASK.encode())
    return body


def masked_error(body: bytes, coding: str, key: str) -> bytes:
    """Return an error's body, plain and with the key masked; the same object where the key is not in it.

    A body whose content coding cannot be read is looked at as it is.
    """
    if (masked := without_key(body, key)) is not body:
        return masked
    plain = plain_body(body, coding) if coding and key else b""
    return body if (masked := without_key(plain, key)) is plain else masked


def masked_headers(headers: CIMultiDict[str], key: str) -> CIMultiDict[str]:
    """Return the headers with the key masked in their values; the same object where it is in none."""
    if not any(form in value for form in _forms(key) for value in headers.values()):
        return headers
    return CIMultiDict([(name, masked_text(value, key)) for name, value in headers.items()])


def masked_text(text: str, key: str) -> str:
    """Return the text with the key masked."""
    for form in _forms(key):
        text = text.replace(form, MASK)
    return text


@lru_cache
def _forms(key: str) -> tuple[str, ...]:
    """How a key may be written: as it is, within JSON, and within a URL."""
    if len(key) < _MIN_KEY:
        return ()
    return tuple(dict.fromkeys((key, key.replace("/", "\\/"), quote(key, safe=""))))
