"""Keeps credentials out of what is stored and shown: those of the call itself, and whatever looks like one."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Final, TypeVar

import msgspec
from multidict import istr
from yarl import URL

from data.model import RequestStart

R = TypeVar("R", bound=msgspec.Struct)

MASK: Final = "[masked]"
OTHER: Final = "other"
#: A shorter secret is none, and its letters are in every text.
_MIN_SECRET: Final = 4
#: Texts of this length may have been cut, within a secret too.
_MAY_BE_CUT: Final = 100
#: What a caller says of itself is shorter than this, or is looked at piece by piece.
_MOST_SAID: Final = 2000
#: (`istr`: looked up without being lowered.)
_KEY_HEADERS: Final = tuple(map(istr, ("x-api-key", "x-goog-api-key", "api-key", "x-claude-proxy-key")))
_AUTHORIZATION: Final = istr("authorization")
_QUERY_KEYS: Final = ("key", "api_key", "api-key", "access_token", "token")
_LOOKS_SECRET: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:sk|pk|rk|gsk|xai|cpk)[-_][\w*.\-]{3,}"
    r"|AIza[\w\-]{10,}"
    r"|(?i:bearer)\s+\S+"
    r"|(?i:key|token|secret|password)(?:\\?[\"'])?\s*[=:]\s*(?:\\?[\"'])?[\w\-.~+/*]{20,}"
)
_CLASS: Final = re.compile(r"[a-z0-9_.-]{1,64}")
_OURS: Final = frozenset({"id", "request_id", "key", "provider", "price_source"})
_ANY_DIGIT: Final = str.maketrans("123456789", "0" * 9)
_LONG_TOKEN: Final = re.compile(r"(?=[a-z]*[0-9])[a-z0-9]{20,}")


def presented_in(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the credentials in a request's headers."""
    said = [value for name in _KEY_HEADERS if (value := headers.get(name)) is not None]
    if (authorization := headers.get(_AUTHORIZATION)) is not None:
        said += [authorization, authorization.partition(" ")[2].strip()]
    return tuple(said)


def secrets_of(presented: tuple[str, ...], url: URL, configured: str = "") -> tuple[str, ...]:
    """Return the credentials a request came with, in its headers and its URL, and the provider's configured one."""
    if url.raw_query_string:
        presented += tuple(url.query.get(name, "") for name in _QUERY_KEYS)
    return _longest_first((*presented, configured))


@lru_cache
def _longest_first(said: tuple[str, ...]) -> tuple[str, ...]:
    """One may be part of another."""
    return tuple(sorted({secret for secret in said if len(secret) >= _MIN_SECRET}, key=len, reverse=True))


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` without `secrets`, and without what looks like one."""
    for secret in secrets:
        text = text.replace(secret, MASK)
        if len(text) >= _MAY_BE_CUT:
            text = _without_start_of(secret, text)
    return _LOOKS_SECRET.sub(MASK, text)


def scrubbed(record: R, secrets: tuple[str, ...], known: type[msgspec.Struct] | None = None) -> R:
    """Return the record with all its texts masked; the same one where there is nothing to mask.

    Fields that `known` has too were masked when such a one was made.
    """
    names, values = _texts_of(type(record), known)
    texts: tuple[str, ...] = values(record)
    tags: dict[str, str] = {} if known is not None else getattr(record, "tags", {})
    if type(record) is RequestStart and _is_clean((*texts, *tags, *tags.values()), secrets):
        return record
    suspects = [text for text in (*texts, *tags, *tags.values()) if text and _suspect(text, secrets)]
    if not suspects:
        return record
    changes: dict[str, object] = {
        name: masked(text, secrets) for name, text in zip(names, texts, strict=True) if text in suspects
    }
    if changes.get("error_class"):
        changes["error_class"] = OTHER
    if tags:
        changes["tags"] = {masked(name, secrets): masked(value, secrets) for name, value in tags.items()}
    return msgspec.structs.replace(record, **changes)


@lru_cache
def _texts_of(
    kind: type[msgspec.Struct], known: type[msgspec.Struct] | None
) -> tuple[tuple[str, ...], Callable[[msgspec.Struct], tuple[str, ...]]]:
    """The fields with text that others have written, and what reads them all at once."""
    passed_over = _OURS | (frozenset(known.__struct_fields__) if known is not None else frozenset())
    fields = msgspec.structs.fields(kind)
    names = tuple(field.name for field in fields if field.type is str and field.name not in passed_over)
    return names, attrgetter(*names)


def _is_clean(texts: tuple[str, ...], secrets: tuple[str, ...]) -> bool:
    return sum(map(len, texts)) <= _MOST_SAID and _said_clean(texts, secrets)


@lru_cache(1024)
def _said_clean(texts: tuple[str, ...], secrets: tuple[str, ...]) -> bool:
    """What callers say of themselves is the same with each of their calls."""
    return not any(_suspect(text, secrets) for text in texts if text)


def _suspect(text: str, secrets: Iterable[str]) -> bool:
    long = len(text) >= _MAY_BE_CUT
    for secret in secrets:
        if secret in text or (long and secret[:_MIN_SECRET] in text[-len(secret) :]):
            return True
    # the counts of an answer differ from call to call, their shape hardly ever
    return _looks_secret(text.translate(_ANY_DIGIT) if long else text)


@lru_cache(4096)
def _looks_secret(text: str) -> bool:
    return _LOOKS_SECRET.search(text) is not None


def error_class(name: str) -> str:
    """Return a provider's word for an error where it can be a label: short, plain, and no token; else 'other'."""
    if not name:
        return ""
    name = name.lower()
    return OTHER if not _CLASS.fullmatch(name) or _LONG_TOKEN.search(name) else name


def _without_start_of(secret: str, text: str) -> str:
    for length in range(len(secret) - 1, _MIN_SECRET - 1, -1):
        if text.endswith(secret[:length]):
            return text[:-length] + MASK
    return text
