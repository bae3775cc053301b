"""Keeps a provider's configured key from clients, who do not have it, where an error echoes it. Pure."""

from functools import lru_cache
from typing import Final
from urllib.parse import quote

from multidict import CIMultiDict

from proxy.decoding import is_plain
from proxy.held import read_plain
from proxy.rewriting import Filter
from proxy.secrets import MASK

#: A shorter key is in texts by chance.
_MIN_KEY: Final = 8
_ERROR: Final = b"error"


def without_key(body: bytes, key: str) -> bytes:
    """Return a plain body with the key masked; the same object where the key is not in it."""
    for form in _forms(key):
        if (raw := form.encode()) in body:
            body = body.replace(raw, MASK.encode())
    return body


def masked_error(body: bytes, coding: str, key: str) -> bytes | None:
    """Return an error's body, plain and with the key masked; the same object where the key is not in it.

    None: its content coding cannot be read to the end, so that nobody can tell.
    """
    if (masked := without_key(body, key)) is not body:
        return masked
    if not body or is_plain(coding) or not _forms(key):
        return body
    if (plain := read_plain(body, coding)) is None:
        return None
    return body if (masked := without_key(plain, key)) is plain else masked


def hides(key: str) -> bool:
    """Return whether a key is masked at all."""
    return bool(_forms(key))


class KeyFilter:
    """Masks the key in a plain error that is passed on as it comes, wherever its pieces are cut.

    `inner` changes the error first. What may be the beginning of the key waits for the next piece.
    """

    def __init__(self, key: str, inner: Filter | None = None) -> None:
        self._forms = tuple(form.encode() for form in _forms(key))
        self._longest = max(map(len, self._forms), default=0)
        self._key = key
        self._inner = inner
        self._waiting = b""

    def feed(self, data: bytes) -> bytes:
        """Take more; give what is surely not a part of the key."""
        text = without_key(self._waiting + (self._inner.feed(data) if self._inner else data), self._key)
        split = len(text) - self._begun(text)
        self._waiting = text[split:]
        return text[:split]

    def flush(self) -> bytes:
        """Give what is left: the beginning of a key that did not go on."""
        return without_key(self._waiting + (self._inner.flush() if self._inner else b""), self._key)

    def broken(self) -> bytes:
        """Give nothing: the error just breaks off."""
        return self._inner.broken() if self._inner else b""

    def _begun(self, text: bytes) -> int:
        """How many bytes at the end of `text` a key may begin with."""
        if text.endswith(b"\n"):  # as the events of a stream end
            return 0
        longest = min(len(text), self._longest - 1)
        sizes = range(longest, 0, -1)
        return next((size for size in sizes if any(form.startswith(text[-size:]) for form in self._forms)), 0)


class StreamedErrors:
    """Masks the key in a plain stream of events from where one first speaks of an error, wherever its pieces are cut.

    Until then pieces pass as they come, and are searched for that word alone.
    """

    __slots__ = ("_end", "_key", "_masking")

    def __init__(self, key: str) -> None:
        self._key = key
        self._masking: KeyFilter | None = None
        self._end = b""  # in which the word may begin

    def feed(self, data: bytes) -> bytes:
        """Take more; give what may go on."""
        if self._masking is None:
            if _ERROR not in data and not (self._end and _ERROR in self._end + data[: len(_ERROR)]):
                self._end = b"" if data.endswith(b"\n") else (self._end + data[-len(_ERROR) :])[-len(_ERROR) :]
                return data
            self._masking = KeyFilter(self._key)
        return self._masking.feed(data)

    def flush(self) -> bytes:
        """Give what is left at the stream's end."""
        return self._masking.flush() if self._masking is not None else b""


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
